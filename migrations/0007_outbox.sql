-- What the bot posts of its own accord: written down in the transaction of the fact that it announces, then sent,
-- one message a second to a channel, by whichever process takes it.

create table idp.outbox (
    -- In the order in which it was written down.
    id bigint generated always as identity primary key,
    platform text not null,
    -- The workspace or guild.
    tenant text not null,
    -- What it announces or answers: nothing is said twice.
    key text not null,
    -- Of those in one lane one is sent at a time, in their order.
    lane text not null,
    -- By which of its ways it goes: an earlier one was refused.
    route text not null check (route in ('answer', 'thread', 'channel', 'person')),
    -- To whom, and the reply; emptied once it is done, since people's words are nobody's business later. Text,
    -- because it is written and read as a whole.
    body text not null,
    -- 0 approvals and what became of them, 1 answers, 2 digests.
    priority smallint not null,
    not_before timestamptz not null default clock_timestamp(),
    -- After this it is of no use to anybody.
    expires_at timestamptz not null,
    attempts integer not null default 0,
    -- Since when it may have arrived; null while it surely has not.
    tried_at timestamptz,
    queued_at timestamptz not null default clock_timestamp(),
    done_at timestamptz,
    -- The platform's id of the message; null until it is sent.
    message_id text,
    -- Why it was not sent, and never will be; null otherwise.
    failure text,
    unique (platform, tenant, key)
);

create index outbox_waiting on idp.outbox (platform, lane, priority, id) where done_at is null;
create index outbox_by_expires_at on idp.outbox (expires_at) where done_at is null;
create index outbox_by_done_at on idp.outbox (done_at);

-- Whoever sends to a lane holds it until `next_at`; after a message it is free again a second later.
create table idp.outbox_lane (
    platform text not null,
    lane text not null,
    next_at timestamptz not null default clock_timestamp(),
    primary key (platform, lane)
);

-- The platform asked all processes to send nothing until then.
create table idp.outbox_pause (
    platform text primary key,
    until timestamptz not null
);
