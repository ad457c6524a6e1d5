-- What is said too late is told so, by a name that the program knows.

create or replace function idp.vote_counts() returns trigger language plpgsql as $$
declare
    asked idp.request;
begin
    select * into asked from idp.request where id = new.request for update;
    if asked.state <> 'pending' then
        raise exception 'request % has ended as %', asked.id, asked.state using errcode = 'check_violation';
    end if;
    if clock_timestamp() >= asked.expires_at then
        raise exception 'request % has expired', asked.id
            using errcode = 'check_violation', constraint = 'said_in_time';
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

create or replace function idp.delegation_counts() returns trigger language plpgsql as $$
declare
    asked idp.request;
begin
    select * into asked from idp.request where id = new.request for update;
    if asked.state <> 'pending' then
        raise exception 'request % has ended as %', asked.id, asked.state using errcode = 'check_violation';
    end if;
    if clock_timestamp() >= asked.expires_at then
        raise exception 'request % has expired', asked.id
            using errcode = 'check_violation', constraint = 'said_in_time';
    end if;
    if asked.requester in (new.person, new.delegate) then
        raise exception 'request % is their own', asked.id using errcode = 'check_violation';
    end if;
    if new.intent <> asked.intent then
        raise exception 'request % is something else', asked.id using errcode = 'check_violation';
    end if;
    if exists (select from idp.vote where request = asked.id and person in (new.person, new.delegate)) then
        raise exception 'request % was decided on by one of them', asked.id using errcode = 'check_violation';
    end if;
    if exists (
        select from idp.delegation where request = asked.id and (delegate = new.person or person = new.delegate)
    ) then
        raise exception 'request % was handed on already', asked.id using errcode = 'check_violation';
    end if;
    return new;
end $$;
