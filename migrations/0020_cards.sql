-- Messages that are edited in place: what is said under a key in each of its places, and the lines below it. The
-- outbox of each platform posts and edits what is for it.

create table idp.card (
    id bigint generated always as identity primary key,
    -- What it is about: one message in each place.
    key text not null,
    platform text not null check (platform in ('slack', 'discord')),
    -- A channel's id or name; null: `person` is told directly.
    channel text,
    -- The id of an account.
    person text,
    -- What it stands below there.
    thread text,
    -- As a reply is written in JSON: the last state, which alone is of use.
    reply text not null,
    -- One more with each state.
    version bigint not null default 1,
    -- The last state that is shown, or that never will be, for which `failure` says why.
    done_version bigint not null default 0,
    -- Whether it is posted again where somebody deletes it.
    live boolean not null default true,
    -- The key of the post in the outbox that is to bring it there, and the state which that shows; null where none does.
    post_key text,
    post_version bigint,
    -- How many brought it there, or were to.
    posts integer not null default 0,
    -- How many of those in a row may have arrived.
    losses integer not null default 0,
    -- The platform's ids of it; null until it is there.
    message_channel text,
    message_id text,
    failure text,
    -- What is to be done is done not before.
    not_before timestamptz not null default clock_timestamp(),
    -- Whoever edits it holds it until then, and knows by the number that nobody took it over.
    held_until timestamptz not null default clock_timestamp(),
    hold bigint not null default 0,
    -- Edits of this state that were in vain.
    attempts integer not null default 0,
    changed_at timestamptz not null default clock_timestamp(),
    constraint card_place check ((channel is null) <> (person is null)),
    constraint card_message check ((message_channel is null) = (message_id is null)),
    constraint card_post check ((post_key is null) = (post_version is null)),
    constraint card_once unique nulls not distinct (platform, key, channel, person, thread)
);

create index card_due on idp.card (platform, changed_at) where version > done_version;
create index card_by_key on idp.card (key);
create index card_by_changed_at on idp.card (changed_at);

create table idp.card_line (
    -- In the order in which they are said.
    id bigint generated always as identity primary key,
    card_id bigint not null references idp.card on delete cascade,
    -- What it says: once below each card.
    line text not null,
    -- As a reply is written in JSON; emptied once the outbox has it.
    reply text not null,
    -- When the outbox had it; null until the card is there.
    said_at timestamptz,
    unique (card_id, line)
);

create index card_line_waiting on idp.card_line (card_id) where said_at is null;

-- Where the message is that was posted: a name or an account was enough to post it, and is not to edit it.
alter table idp.outbox add column message_channel text;

alter table idp.announcement add column thread text;
alter table idp.announcement drop constraint announcement_once;
alter table idp.announcement add constraint announcement_once
    unique nulls not distinct (platform, key, channel, person, thread);
