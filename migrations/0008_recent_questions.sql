-- What each account asked last, for its own eyes: five questions, forgotten after 30 days.

create table idp.recent_question (
    platform text not null check (platform in ('slack', 'discord')),
    -- The workspace or guild.
    tenant text not null,
    -- The platform's immutable id of the account.
    platform_user text not null,
    -- The words of the call: `owner payment-api`.
    words text not null check (length(words) between 1 and 200),
    asked_at timestamptz not null,
    primary key (platform, tenant, platform_user, words)
);

create index recent_question_by_asked_at on idp.recent_question (asked_at);
