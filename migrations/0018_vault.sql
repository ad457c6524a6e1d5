-- By which key the values of this database are sealed and signed. Not the key: a code that it makes of nothing.
create table idp.vault_key (
    one boolean primary key default true check (one),
    fingerprint bytea not null,
    since timestamptz not null default clock_timestamp()
);
