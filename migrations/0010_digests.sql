-- What each team is told on a schedule: one message for each digest, team and local date of the slot.

-- The clock that digests go by: that of the database, which all processes share.
create function idp.digest_clock() returns timestamptz
language sql volatile
as 'select clock_timestamp()';

-- How far each schedule is dealt with. A changed expression or zone is another schedule.
create table idp.digest_schedule (
    digest text not null,
    -- As IANA names it.
    zone text not null,
    cron text not null,
    -- Slots until then are dealt with.
    since timestamptz not null,
    -- When a process last had the schedule in its files.
    seen_at timestamptz not null,
    primary key (digest, zone, cron)
);

-- When a process last looked, whatever digests it had: what was in nobody's files then was not wanted.
create table idp.digest_watch (
    only_one boolean primary key default true check (only_one),
    at timestamptz not null
);

create table idp.digest_delivery (
    id bigint generated always as identity primary key,
    digest text not null,
    -- The reference of the Group.
    team text not null,
    -- The local date of the slot.
    date date not null,
    slot_at timestamptz not null,
    -- Null where the team has a channel on none.
    platform text check (platform in ('slack', 'discord')),
    channel text not null,
    -- What stands in the message, to tell it by.
    mark text not null,
    -- When it is to be in the channel.
    send_at timestamptz not null,
    is_late boolean not null,
    -- The reply, as it is to be shown; emptied once it is done.
    body text not null,
    state text not null check (state in ('planned', 'handed', 'done')),
    -- Whether it may be at the platform although nobody knows of it.
    doubt text not null check (doubt in ('none', 'forgotten', 'unanswered')),
    -- Since when that is so; null while it never was sent.
    tried_at timestamptz,
    attempts integer not null default 0,
    not_before timestamptz not null,
    -- Whoever has it in hand keeps others from it until then.
    leased_until timestamptz,
    -- What that process calls itself.
    leased_by text,
    -- The platform took it.
    handed_at timestamptz,
    -- It was seen there once, and no second time.
    audited_at timestamptz,
    -- The platform's id of it; null until it took it.
    message_id text,
    -- After that it is of no use to anybody.
    expires_at timestamptz not null,
    planned_at timestamptz not null,
    -- The User who had it sent out of turn; null where its time had come.
    sent_by text,
    done_at timestamptz,
    -- How it ended; null while it has not.
    outcome text,
    -- What the platform said to that.
    detail text,
    check ((state = 'done') = (outcome is not null)),
    unique (digest, team, date)
);

create index digest_delivery_waiting on idp.digest_delivery (platform, send_at) where state <> 'done';
create index digest_delivery_by_date on idp.digest_delivery (digest, date);
create index digest_delivery_by_slot_at on idp.digest_delivery (slot_at);

-- When a platform may be asked for something again, by whichever process.
create table idp.digest_pace (
    platform text not null check (platform in ('slack', 'discord')),
    -- To take a message, or to tell which it has.
    purpose text not null,
    next_at timestamptz not null,
    primary key (platform, purpose)
);

-- Teams that want no digest for a while.
create table idp.digest_snooze (
    team text primary key,
    until timestamptz not null,
    -- The User who asked for it; null where nobody is known.
    by_user text
);

-- What a team says is not its own, whatever the catalog has.
create table idp.disowned (
    -- The reference of the entity, and that of the Group.
    entity text not null,
    team text not null,
    -- In the words of who said it.
    reason text not null check (length(reason) <= 500),
    by_user text,
    at timestamptz not null,
    primary key (entity, team)
);
