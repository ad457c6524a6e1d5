-- What is to be said elsewhere than where it was asked. The outbox of each platform takes what is for it.
create table idp.announcement (
    -- What it announces: said once in each place.
    key text not null,
    platform text not null check (platform in ('slack', 'discord')),
    -- A channel's id or name; null: `person` is told directly.
    channel text,
    -- The id of an account.
    person text,
    -- As a reply is written in JSON.
    reply text not null,
    written_at timestamptz not null default clock_timestamp(),
    constraint announcement_place check ((channel is null) <> (person is null)),
    constraint announcement_once unique nulls not distinct (platform, key, channel, person)
);
