-- Second factors: what a program on somebody's phone makes codes of.
create table idp.totp (
    user_ref text primary key,
    -- Sealed with the instance's key.
    secret bytea not null,
    shown_at timestamptz not null default clock_timestamp(),
    -- Null until the first code of it was typed.
    confirmed_at timestamptz,
    -- The span of 30 seconds whose code was used last: none is used twice, and none before it.
    step bigint not null default 0
);

-- Codes that were wrong.
create table idp.totp_failure (
    user_ref text not null,
    at timestamptz not null default clock_timestamp()
);

create index totp_failure_by_user on idp.totp_failure (user_ref, at);
