-- What tells a revision of this catalog from the same number in another database, or in this one before
-- a backup was restored: a copy on somebody's disk, and a process that was cut off meanwhile, take up
-- only what changed since when their state is in this database's past.

create table idp.catalog_mark (
    revision bigint primary key,
    mark uuid not null default gen_random_uuid()
);

insert into idp.catalog_mark (revision) select revision from idp.catalog_revision;
