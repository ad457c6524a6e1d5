-- What failed is tried again, from the step that failed: the same, by the same approval, in the time in which it was to be
-- begun, three times at most. Nothing else brings back what has ended.

create table idp.retry (
    request bigint not null references idp.execution,
    number smallint not null check (number between 1 and 3),
    person text not null,
    intent bytea not null,
    platform text not null check (platform in ('slack', 'discord', 'terminal')),
    tenant text not null,
    account text not null,
    generation bigint not null,
    at timestamptz not null default clock_timestamp(),
    primary key (request, number)
);

alter table idp.execution
    -- How often it was tried again.
    add column retries smallint not null default 0 check (retries between 0 and 3);

alter table idp.step
    -- At which time of trying it was last begun: the key toward the receiver is another one each time.
    add column run smallint not null default 0 check (run between 0 and 3);

create function idp.retry_is_allowed() returns trigger language plpgsql as $$
declare
    asked idp.request;
    done idp.execution;
begin
    select * into asked from idp.request where id = new.request for update;
    select * into done from idp.execution where request = new.request for update;
    if asked.state <> 'approved' or new.intent <> asked.intent then
        raise exception 'request % is not approved', new.request using errcode = 'check_violation';
    end if;
    if done.state <> 'failed' or new.number <> done.retries + 1 then
        raise exception 'execution % has not failed', new.request using errcode = 'check_violation';
    end if;
    if clock_timestamp() >= done.start_by then
        raise exception 'execution % could not begin in time', new.request using errcode = 'check_violation';
    end if;
    if exists (select from idp.step where request = new.request and state in ('sending', 'running', 'unknown'))
       or exists (select from idp.request_secret where request = new.request) then
        raise exception 'execution % is not over', new.request using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger retry_is_allowed before insert on idp.retry for each row execute function idp.retry_is_allowed();

create function idp.retry_stays() returns trigger language plpgsql as $$
begin
    raise exception 'a retry stays as it is' using errcode = 'check_violation';
end $$;
create trigger retry_stays before update or delete on idp.retry for each row execute function idp.retry_stays();

-- As in 0019, and: what failed is ready again with the retry of the next number.
create or replace function idp.execution_is_approved() returns trigger language plpgsql as $$
declare
    asked idp.request;
begin
    if tg_op = 'UPDATE' then
        if new.intent <> old.intent or new.lane is distinct from old.lane then
            raise exception 'execution % is something else', old.request using errcode = 'check_violation';
        end if;
        if new.retries <> old.retries then
            if old.state = 'failed' and new.state = 'ready' and new.retries = old.retries + 1
               and new.start_by = old.start_by and exists (
                   select from idp.retry
                   where request = old.request and number = new.retries and intent = old.intent
               ) then
                return new;
            end if;
            raise exception 'execution % is not tried again', old.request using errcode = 'check_violation';
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
    if new.retries <> 0 then
        raise exception 'execution % was not tried yet', new.request using errcode = 'check_violation';
    end if;
    return new;
end $$;

-- As in 0019, and: what failed, or was passed over for that, is as new where its execution was brought back and not begun.
create or replace function idp.step_goes_on() returns trigger language plpgsql as $$
begin
    if new.run <> old.run then
        if old.state in ('failed', 'skipped') and new.state = 'ready' and new.class = old.class and new.name = old.name
           and new.attempts = 0 and new.outputs = '{}'
           and num_nonnulls(new.sent_at, new.reference, new.url, new.note, new.redeemed_at, new.redeemed_by) = 0
           and new.run > old.run and exists (
               select from idp.execution
               where request = old.request and state = 'ready' and retries = new.run
           ) then
            return new;
        end if;
        raise exception 'step % of execution % is not tried again', old.number, old.request
            using errcode = 'check_violation';
    end if;
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

comment on table idp.retry is 'What failed and is tried again';
