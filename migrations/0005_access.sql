-- Which chat account is which User of the catalog, and the codes by which somebody says so.

-- One row: whoever changes links holds it until the commit, so that changes come one after another, and what
-- processes compare to know whether they have the newest.
create table idp.access_revision (
    one boolean primary key default true check (one),
    revision bigint not null default 0
);
insert into idp.access_revision default values;

create table idp.identity_link (
    platform text not null check (platform in ('slack', 'discord')),
    -- The workspace or guild.
    tenant text not null,
    -- The platform's immutable id of the account.
    platform_user text not null,
    -- `user:default/ada`; the catalog may have lost it since.
    user_ref text not null,
    guest boolean not null default false,
    -- The revision at which it came to be as it is: never used for another link.
    generation bigint not null,
    made_by text not null check (made_by in ('import', 'code', 'email')),
    created_at timestamptz not null default clock_timestamp(),
    primary key (platform, tenant, platform_user),
    unique (platform, tenant, user_ref)
);

create table idp.link_code (
    -- SHA-256 of the code, which is written down nowhere.
    hash bytea primary key,
    user_ref text not null,
    guest boolean not null,
    expires_at timestamptz not null
);

-- Codes that an account got wrong.
create table idp.link_failure (
    platform text not null,
    tenant text not null,
    platform_user text not null,
    at timestamptz not null default clock_timestamp()
);

create index link_failure_by_account on idp.link_failure (platform, tenant, platform_user, at);
