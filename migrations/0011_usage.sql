-- How idp is used, counted by days of UTC, without a word of what people wrote; and what they say of answers.

-- What accounts that are linked to nobody are told apart by, instead of their ids. Nothing outside of here knows it.
create table idp.usage_key (
    one boolean primary key default true check (one),
    key text not null
);
insert into idp.usage_key (key) values (gen_random_uuid()::text || gen_random_uuid()::text);

-- Who it was, as the tables below call them.
create function idp.usage_person(user_ref text, platform text, tenant text, platform_user text) returns text
language sql stable as $$
    select case
        when user_ref is not null then user_ref
        when platform_user is not null then
            'account:' || left(encode(sha256(convert_to(
                json_build_array(usage_key.key, platform, tenant, platform_user)::text, 'UTF8'
            )), 'hex'), 16)
        else ''
    end
    from idp.usage_key
$$;

create table idp.usage (
    day date not null,
    -- `user:default/ada`; `account:` and 16 hex digits of one that is linked to nobody; empty where it is not known.
    person text not null,
    -- `group:default/payments`, the first of the teams they were in then; empty without one.
    team text not null,
    -- The command that was understood; empty where none was.
    command text not null,
    platform text not null check (platform in ('slack', 'discord', 'terminal')),
    -- command, message, button, form, filled, typing, shortcut, home, unfurl.
    way text not null,
    -- answer, nothing, fault, or why it was refused: unknown_entity.
    outcome text not null,
    times bigint not null check (times > 0),
    primary key (day, person, team, command, platform, way, outcome)
);

-- How long answers took.
create table idp.usage_latency (
    day date not null,
    command text not null,
    platform text not null,
    way text not null,
    -- Which of the bounds in src/usage/latency.rs it did not pass, from 0.
    bucket smallint not null,
    times bigint not null check (times > 0),
    primary key (day, command, platform, way, bucket)
);

-- Whether answers helped, as people say of their own accord: of each about each thing the last word.
create table idp.feedback (
    -- As in `usage`.
    person text not null,
    command text not null,
    -- `component:default/payment-api`; empty for an answer about nothing in particular.
    entity text not null,
    platform text not null check (platform in ('slack', 'discord', 'terminal')),
    helpful boolean not null,
    -- What they wrote with it, to be read by admins; empty where they wrote nothing.
    comment text not null check (length(comment) <= 1000),
    at timestamptz not null default clock_timestamp(),
    primary key (person, command, entity)
);

create index feedback_by_at on idp.feedback (at);
