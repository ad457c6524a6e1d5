-- One process hears Discord's gateway; the next takes its session up, so that nothing is lost between them.
create table idp.discord_session (
    application_id text primary key,
    holder text not null,
    -- Another process may take it after this.
    lease_until timestamptz not null,
    session_id text,
    url text,
    -- The last event before which every one was heard and written down.
    sequence bigint,
    -- Whether it tells messages.
    messages boolean
);

-- Discord resets the token of a bot that begins 1,000 sessions within a day.
create table idp.discord_identify (
    application_id text not null,
    at timestamptz not null default clock_timestamp()
);

create index on idp.discord_identify (application_id, at);
