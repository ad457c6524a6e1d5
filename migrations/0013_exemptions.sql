-- That a rule of a scorecard does not count for an entity, for a reason and for a while: asked for by one person, decided
-- by another.
create table idp.exemption (
    id bigint generated always as identity primary key,
    entity text not null,
    scorecard text not null,
    rule text not null,
    reason text not null check (char_length(reason) between 1 and 500),
    days integer not null check (days between 1 and 3650),
    asked_by text not null,
    asked_at timestamptz not null default clock_timestamp(),
    state text not null default 'asked' check (state in ('asked', 'granted', 'refused', 'withdrawn', 'ended')),
    decided_by text,
    decided_at timestamptz,
    -- What was said with the decision.
    note text check (char_length(note) <= 500),
    ends_at timestamptz,
    constraint exemption_decided check ((state = 'asked') = (decided_by is null) and (state = 'asked') = (decided_at is null)),
    constraint exemption_ends check ((state in ('granted', 'ended')) = (ends_at is not null)),
    -- Whatever the program believes: nobody decides on what they asked for themselves.
    constraint exemption_by_another check (state not in ('granted', 'refused') or decided_by <> asked_by)
);

-- Of two who ask for the same the second hears that it is asked for already.
create unique index exemption_asked on idp.exemption (entity, scorecard, rule) where state = 'asked';
create index exemption_granted on idp.exemption (entity) where state = 'granted';
create index exemption_asked_by on idp.exemption (asked_by, asked_at desc);

comment on table idp.exemption is 'Rules of scorecards that do not count for an entity for a while';
