-- What people asked in vain: which names the catalog lacks, which questions no command understands.

create table idp.unanswered (
    platform text not null,
    -- In lower case, without what is around it; at most 200 characters.
    question text not null check (length(question) between 1 and 200),
    -- Why there was no answer the last time: unknown_entity.
    refusal text not null,
    times bigint not null check (times > 0),
    first_at timestamptz not null,
    last_at timestamptz not null,
    primary key (platform, question)
);

create index unanswered_by_last_at on idp.unanswered (last_at);
