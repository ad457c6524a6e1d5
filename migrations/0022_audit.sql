-- What was decided, by whom and when. A decision appends its row in its own transaction; the sealer chains rows
-- afterwards, in a table of their own, so that what was appended is never written again.
create table idp.audit (
    id bigint generated always as identity primary key,
    -- Of the transaction that appended it: what is below all running ones can be sealed, nothing comes before it any more.
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    kind text not null,
    subject text not null,
    actor text not null,
    body jsonb not null
);

create index audit_by_xid on idp.audit (xid, id);

create table idp.audit_seal (
    -- 1, 2, 3 and so on, without a gap.
    chain_no bigint primary key,
    audit_id bigint not null unique,
    xid xid8 not null,
    -- SHA-256 of the hash before and of the row.
    hash bytea not null
);

-- What the instance's key has signed.
create table idp.audit_checkpoint (
    -- `head`: the chain was this far. `forgotten`: what is before the next row was deleted on purpose.
    what text not null check (what in ('head', 'forgotten')),
    chain_no bigint not null,
    hash bytea not null,
    at timestamptz not null,
    public_key bytea not null,
    signature bytea not null,
    primary key (what, chain_no, public_key)
);

create function idp.audit_forgotten() returns bigint
language sql stable as $$
    select coalesce(max(chain_no), 0) from idp.audit_checkpoint where what = 'forgotten'
$$;

create function idp.audit_keep() returns trigger
language plpgsql as $$
declare
    is_forgotten boolean := false;
begin
    if tg_op = 'DELETE' then
        -- A record that nobody signed helps nobody: `idp audit verify` asks for the signature.
        is_forgotten := case tg_table_name
            when 'audit' then exists (
                select from idp.audit_seal where audit_id = (to_jsonb(old) ->> 'id')::bigint and chain_no <= idp.audit_forgotten()
            )
            when 'audit_seal' then (to_jsonb(old) ->> 'chain_no')::bigint <= idp.audit_forgotten()
            else (to_jsonb(old) ->> 'chain_no')::bigint < idp.audit_forgotten()
        end;
    end if;
    if not is_forgotten then
        raise exception 'the audit log is only ever added to' using errcode = 'restrict_violation';
    end if;
    return old;
end
$$;

create trigger audit_keep before update or delete on idp.audit
    for each row execute function idp.audit_keep();
create trigger audit_keep_all before truncate on idp.audit
    for each statement execute function idp.audit_keep();
create trigger audit_keep before update or delete on idp.audit_seal
    for each row execute function idp.audit_keep();
create trigger audit_keep_all before truncate on idp.audit_seal
    for each statement execute function idp.audit_keep();
create trigger audit_keep before update or delete on idp.audit_checkpoint
    for each row execute function idp.audit_keep();
create trigger audit_keep_all before truncate on idp.audit_checkpoint
    for each statement execute function idp.audit_keep();

comment on table idp.audit is 'What was decided; only ever added to';
