-- What others observed of entities and reported, for as long as it holds; and each change of a value.
--
-- What the catalog itself says of an entity is not here: it is read from the snapshot.

-- One row: what readers compare to know whether they have the newest facts. Whoever reports facts holds it until
-- the commit: revisions become visible in order, and of two reports of one fact the second sees the first.
create table idp.fact_revision (
    one boolean primary key default true check (one),
    revision bigint not null default 0
);
insert into idp.fact_revision default values;

-- The newest observation of each.
create table idp.fact (
    -- `component:default/payment-api`, lower case. It may have left the catalog since.
    entity text not null,
    key text not null,
    -- As the settings wanted it when it was reported.
    value jsonb not null,
    source text not null,
    observed_at timestamptz not null,
    -- From then on it is stale; null: it holds until another takes its place.
    valid_until timestamptz,
    -- The one that wrote the row last.
    revision bigint not null,
    primary key (entity, key)
);

create index fact_by_revision on idp.fact (revision);
create index fact_by_valid_until on idp.fact (valid_until);

-- Each time a value became another one; kept for 400 days.
create table idp.fact_change (
    id bigint generated always as identity primary key,
    entity text not null,
    key text not null,
    -- Null: there was none before.
    was jsonb,
    became jsonb not null,
    source text not null,
    observed_at timestamptz not null,
    revision bigint not null,
    at timestamptz not null default clock_timestamp()
);

create index fact_change_by_entity on idp.fact_change (entity, id);
create index fact_change_by_revision on idp.fact_change (revision);
create index fact_change_by_at on idp.fact_change (at);
