-- Requests that wait: a decision that is handed to somebody else, who is called next, and what was done without approval
-- and nobody has looked at since.

-- Somebody who may decide on a request hands that to one other person.
create table idp.delegation (
    request bigint not null references idp.request,
    -- Whose decision it is, and by which account they handed it on: whether they still have it is looked at when it is used.
    person text not null,
    delegate text not null,
    intent bytea not null,
    -- The factors of the rule that they may speak for, by place from 0.
    factors integer[] not null check (cardinality(factors) > 0),
    platform text not null check (platform in ('slack', 'discord', 'terminal')),
    tenant text not null,
    account text not null,
    generation bigint not null,
    note text check (char_length(note) <= 500),
    at timestamptz not null default clock_timestamp(),
    primary key (request, person),
    -- Nobody decides for two.
    unique (request, delegate),
    constraint delegation_to_another check (person <> delegate)
);

create function idp.delegation_counts() returns trigger language plpgsql as $$
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
create trigger delegation_counts before insert on idp.delegation
    for each row execute function idp.delegation_counts();

create function idp.delegation_stays() returns trigger language plpgsql as $$
begin
    raise exception 'what was handed on stays so' using errcode = 'check_violation';
end $$;
create trigger delegation_stays before update or delete on idp.delegation
    for each row execute function idp.delegation_stays();

-- Who handed their decision on says yes no more; a no of theirs counts.
create function idp.vote_is_theirs() returns trigger language plpgsql as $$
begin
    -- What one transaction hands on, no other votes on meanwhile: both hold the request.
    perform from idp.request where id = new.request for update;
    if new.verdict = 'approve'
       and exists (select from idp.delegation where request = new.request and person = new.person) then
        raise exception 'request % was handed on by them', new.request using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger vote_is_theirs before insert on idp.vote for each row execute function idp.vote_is_theirs();

alter table idp.request
    -- How many levels on call were called so far, and when the next one is; null: no more.
    add column level integer not null default 1 check (level between 1 and 100),
    add column escalate_at timestamptz,
    -- What somebody found who looked at what was done without approval.
    add column reviewed_at timestamptz,
    add column reviewed_by text,
    add column review text check (char_length(review) between 1 and 500),
    add column review_reminded_at timestamptz,
    add column review_reminders integer not null default 0,
    add constraint request_reviewed check (
        num_nulls(reviewed_at, reviewed_by, review) in (0, 3)
        and (reviewed_at is null or break_glass is not null and reviewed_by <> requester)
    );

create index request_escalates on idp.request (escalate_at) where state = 'pending' and escalate_at is not null;
create index request_unreviewed on idp.request (requested_at) where break_glass is not null and reviewed_at is null;

create function idp.request_goes_on() returns trigger language plpgsql as $$
begin
    if new.level <> old.level and (new.level <> old.level + 1 or old.state <> 'pending') then
        raise exception 'request % calls one level after another', old.id using errcode = 'check_violation';
    end if;
    if old.reviewed_at is not null
       and (new.reviewed_at, new.reviewed_by, new.review) is distinct from (old.reviewed_at, old.reviewed_by, old.review) then
        raise exception 'request % was reviewed', old.id using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger request_goes_on before update on idp.request for each row execute function idp.request_goes_on();

comment on table idp.delegation is 'Decisions on requests that were handed to somebody else';
