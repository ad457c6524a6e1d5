-- Actions: what people ask for, who said yes or no, and what was done. Whatever a program believes, these tables refuse:
-- a vote on one's own request, a second one, a late one, one for something else than was asked; an end that changes;
-- something done without approval, twice, or other than approved.

create table idp.request (
    id bigint generated always as identity primary key,
    -- Part of every key toward a receiver: a number that a failed database gives out again is another request.
    nonce text not null default gen_random_uuid()::text,
    action text not null,
    -- SHA-256 of the action's file, in hexadecimal digits.
    revision text not null,
    -- `component:default/payment-api`; null: nothing in particular.
    target text,
    -- By name; a secret stands here as a code that only the instance's key makes of it.
    inputs jsonb not null,
    -- What was fixed when it was asked for: the commit that a branch pointed at.
    pinned jsonb not null,
    -- SHA-256 of all of these.
    intent bytea not null check (length(intent) = 32),
    -- Who must say yes, as it was when it was asked for.
    rule jsonb not null,
    quorum integer not null check (quorum between 0 and 20),
    risk text not null check (risk in ('low', 'medium', 'high')),
    requester text not null,
    -- From where it was asked, and where it is talked about.
    platform text not null check (platform in ('slack', 'discord', 'terminal')),
    tenant text not null,
    account text not null,
    -- Where its card is shown.
    places jsonb not null,
    -- Why approval was done without; null where it was not.
    break_glass text check (char_length(break_glass) between 1 and 500),
    -- Whether its inputs are too long for a card: who approves must have opened them.
    is_long boolean not null default false,
    state text not null default 'pending'
        check (state in ('pending', 'approved', 'denied', 'expired', 'cancelled', 'void')),
    version integer not null default 1,
    requested_at timestamptz not null default clock_timestamp(),
    -- The history of the database that it was written in: after a failover it is another.
    timeline text not null,
    expires_at timestamptz not null,
    -- When whoever has not answered was last reminded.
    reminded_at timestamptz,
    decided_at timestamptz,
    decided_by text,
    -- What was said with the end.
    note text check (char_length(note) <= 500),
    constraint request_decided check ((state = 'pending') = (decided_at is null))
);

create index request_pending on idp.request (expires_at) where state = 'pending';
create index request_by_requester on idp.request (requester, id desc);
create index request_by_target on idp.request (target, action, id desc);

-- What is secret of a request, sealed by the instance's key; deleted once nothing more is done.
create table idp.request_secret (
    request bigint not null references idp.request,
    name text not null,
    sealed bytea not null,
    primary key (request, name)
);

-- Who has opened what of a request does not stand on its card.
create table idp.request_opened (
    request bigint not null references idp.request,
    person text not null,
    intent bytea not null,
    at timestamptz not null default clock_timestamp(),
    primary key (request, person)
);

create table idp.vote (
    request bigint not null references idp.request,
    -- A catalog User: the same person counts once, on whichever platform.
    person text not null,
    verdict text not null check (verdict in ('approve', 'deny')),
    intent bytea not null,
    -- The factors of the rule that they may speak for, by place from 0.
    factors integer[] not null,
    platform text not null check (platform in ('slack', 'discord', 'terminal')),
    tenant text not null,
    account text not null,
    -- Of the link of their account; 0 in the terminal.
    generation bigint not null,
    -- What they did to show that it was them: a click, the target's name typed, or a one-time password.
    proof text not null check (proof in ('click', 'typed', 'one_time_password')),
    note text check (char_length(note) <= 500),
    at timestamptz not null default clock_timestamp(),
    primary key (request, person)
);

create table idp.execution (
    -- One for each request: nothing is done twice.
    request bigint primary key references idp.request,
    intent bytea not null,
    -- Of two with one lane, one is done at a time; null: as many as there are.
    lane text,
    state text not null default 'ready'
        check (state in ('ready', 'running', 'succeeded', 'failed', 'unknown', 'held', 'cancelled', 'void')),
    -- After it nothing is begun any more.
    start_by timestamptz not null,
    -- After it it counts as failed.
    end_by timestamptz,
    lease_owner text,
    lease_until timestamptz,
    -- When it is looked at again.
    next_at timestamptz not null default clock_timestamp(),
    -- Why it waits or how it ended, for people.
    note text check (char_length(note) <= 2000),
    began_at timestamptz,
    ended_at timestamptz,
    constraint execution_ended check (
        (state in ('succeeded', 'failed', 'cancelled', 'void')) = (ended_at is not null)
    )
);

create index execution_due on idp.execution (next_at) where ended_at is null;
-- Whatever workers believe: of one lane one is running.
create unique index execution_lane on idp.execution (lane) where state = 'running';

create table idp.step (
    request bigint not null references idp.execution,
    -- From 0, in their order.
    number smallint not null,
    name text not null,
    -- What happens when an answer is lost: it is sent again, looked for, redeemed once, or never sent again.
    class text not null check (class in ('idempotent', 'searchable', 'redeem', 'blind')),
    state text not null default 'ready'
        check (state in ('ready', 'sending', 'running', 'succeeded', 'failed', 'unknown', 'skipped')),
    -- How often it was about to be sent.
    attempts integer not null default 0,
    -- When it was about to be sent last.
    sent_at timestamptz,
    -- By what the receiver knows it, and where people see it.
    reference text,
    url text,
    outputs jsonb not null default '{}',
    note text check (char_length(note) <= 2000),
    -- Once a job has redeemed its token no other one works.
    redeemed_at timestamptz,
    redeemed_by text,
    primary key (request, number),
    -- What cannot be told apart is sent once, whatever happens.
    constraint step_blind check (class <> 'blind' or attempts <= 1)
);

-- Nothing is begun while there is a row.
create table idp.emergency_stop (
    one boolean primary key default true check (one),
    by text not null,
    reason text not null check (char_length(reason) between 1 and 500),
    at timestamptz not null default clock_timestamp()
);

create function idp.request_is_as_asked() returns trigger language plpgsql as $$
begin
    if (new.nonce, new.action, new.revision, new.target, new.inputs, new.pinned, new.intent, new.rule, new.quorum, new.risk,
        new.requester, new.platform, new.tenant, new.account, new.break_glass, new.is_long, new.requested_at, new.timeline,
        new.expires_at)
       is distinct from
       (old.nonce, old.action, old.revision, old.target, old.inputs, old.pinned, old.intent, old.rule, old.quorum, old.risk,
        old.requester, old.platform, old.tenant, old.account, old.break_glass, old.is_long, old.requested_at, old.timeline,
        old.expires_at) then
        raise exception 'request % is not what was asked for', old.id using errcode = 'check_violation';
    end if;
    if old.state <> 'pending' and new.state <> old.state then
        raise exception 'request % has ended as %', old.id, old.state using errcode = 'check_violation';
    end if;
    if new.state = 'approved' and old.state = 'pending' and old.break_glass is null and (
        (select count(*) from idp.vote where request = old.id and verdict = 'approve') < old.quorum
        or exists (select from idp.vote where request = old.id and verdict = 'deny')
        or clock_timestamp() >= old.expires_at
    ) then
        raise exception 'request % is not approved', old.id using errcode = 'check_violation';
    end if;
    if new.version < old.version then
        raise exception 'request % goes back', old.id using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger request_is_as_asked before update on idp.request
    for each row execute function idp.request_is_as_asked();

create function idp.vote_counts() returns trigger language plpgsql as $$
declare
    asked idp.request;
begin
    select * into asked from idp.request where id = new.request for update;
    if asked.state <> 'pending' then
        raise exception 'request % has ended as %', asked.id, asked.state using errcode = 'check_violation';
    end if;
    if clock_timestamp() >= asked.expires_at then
        raise exception 'request % has expired', asked.id using errcode = 'check_violation';
    end if;
    if new.person = asked.requester then
        raise exception 'request % is their own', asked.id using errcode = 'check_violation';
    end if;
    if new.intent <> asked.intent then
        raise exception 'request % is something else', asked.id using errcode = 'check_violation';
    end if;
    if asked.is_long and new.verdict = 'approve' and not exists (
        select from idp.request_opened where request = asked.id and person = new.person and intent = new.intent
    ) then
        raise exception 'request % was not opened', asked.id using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger vote_counts before insert on idp.vote for each row execute function idp.vote_counts();

create function idp.vote_stays() returns trigger language plpgsql as $$
begin
    raise exception 'a vote stays as it is' using errcode = 'check_violation';
end $$;
create trigger vote_stays before update or delete on idp.vote for each row execute function idp.vote_stays();

create function idp.execution_is_approved() returns trigger language plpgsql as $$
declare
    asked idp.request;
begin
    if tg_op = 'UPDATE' then
        if new.intent <> old.intent or new.lane is distinct from old.lane then
            raise exception 'execution % is something else', old.request using errcode = 'check_violation';
        end if;
        if old.ended_at is not null and new.state <> old.state then
            raise exception 'execution % has ended as %', old.request, old.state using errcode = 'check_violation';
        end if;
        return new;
    end if;
    select * into asked from idp.request where id = new.request for update;
    if asked.state <> 'approved' or new.intent <> asked.intent then
        raise exception 'request % is not approved', new.request using errcode = 'check_violation';
    end if;
    if asked.break_glass is null and (
        (select count(*) from idp.vote
         where request = asked.id and verdict = 'approve' and intent = asked.intent and person <> asked.requester) < asked.quorum
        or exists (select from idp.vote where request = asked.id and verdict = 'deny')
    ) then
        raise exception 'request % is not approved', new.request using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger execution_is_approved before insert or update on idp.execution
    for each row execute function idp.execution_is_approved();

create function idp.step_goes_on() returns trigger language plpgsql as $$
begin
    if old.state in ('succeeded', 'failed', 'skipped') and new.state <> old.state then
        raise exception 'step % of execution % has ended as %', old.number, old.request, old.state
            using errcode = 'check_violation';
    end if;
    if old.redeemed_at is not null and new.redeemed_by is distinct from old.redeemed_by then
        raise exception 'step % of execution % is redeemed', old.number, old.request using errcode = 'check_violation';
    end if;
    if new.attempts < old.attempts or new.class <> old.class then
        raise exception 'step % of execution % goes back', old.number, old.request using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger step_goes_on before update on idp.step for each row execute function idp.step_goes_on();

-- What a dispatcher waits for.
create function idp.execution_is_due() returns trigger language plpgsql as $$
begin
    perform pg_notify('idp_actions', '');
    return null;
end $$;
create trigger execution_is_due after insert on idp.execution
    for each statement execute function idp.execution_is_due();

-- The history of the database: another one after each failover.
create function idp.timeline() returns text language sql stable as $$
    select (select system_identifier from pg_control_system())::text || '/'
        || case when pg_is_in_recovery() then '' else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end
$$;

comment on table idp.request is 'What people ask for, which others must approve';
