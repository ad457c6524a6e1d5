-- What came in and must be answered exactly once: written down before it is acknowledged.

create table idp.inbox (
    platform text not null,
    -- The workspace or guild.
    tenant text not null,
    -- The platform's id of the event or click: the same for each delivery.
    envelope text not null,
    -- What is to be answered; emptied once it is, since people's words are nobody's business later.
    body jsonb not null,
    received_at timestamptz not null default clock_timestamp(),
    -- Until then its process answers it; afterwards any may.
    lease_until timestamptz not null,
    done_at timestamptz,
    primary key (platform, tenant, envelope)
);

create index inbox_unfinished on idp.inbox (lease_until) where done_at is null;
create index inbox_by_received_at on idp.inbox (received_at);
