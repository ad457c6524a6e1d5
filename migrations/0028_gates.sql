-- Deployments of which GitHub asks whether they may go on. Each is a request like any other; what asked for it is no account.

alter table idp.request
    alter column platform drop not null,
    alter column tenant drop not null,
    alter column account drop not null,
    add constraint request_asked_by check (
        (platform is null) = (tenant is null) and (platform is null) = (account is null)
    );

create table idp.gate (
    request bigint primary key references idp.request,
    -- What GitHub called its message: one that comes again asks for nothing new.
    delivery text not null unique,
    repository text not null,
    environment text not null,
    run bigint not null,
    -- Of the repository: the same run, started again, is another one.
    deployment bigint not null,
    -- How often GitHub was about to be told that it may not go on.
    attempts integer not null default 0,
    -- When it is told, or told again.
    next_at timestamptz not null default clock_timestamp(),
    -- What it was told: `gone` where it did not wait any more, `unknown` where it could not be told.
    answer text check (answer in ('approved', 'rejected', 'gone', 'unknown')),
    constraint gate_deployment unique (repository, deployment)
);

create index gate_unanswered on idp.gate (next_at) where answer is null;
create index gate_run on idp.gate (repository, run);

create function idp.gate_stays() returns trigger language plpgsql as $$
begin
    if old.answer is not null and new.answer is distinct from old.answer then
        raise exception 'gate % was answered with %', old.request, old.answer using errcode = 'check_violation';
    end if;
    return new;
end $$;
create trigger gate_stays before update on idp.gate for each row execute function idp.gate_stays();
