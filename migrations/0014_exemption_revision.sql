-- What exemptions changed last, so that scores are evaluated again of those entities only.

-- One row: whoever changes an exemption holds it until the commit, so that revisions become visible in order.
create table idp.exemption_revision (
    one boolean primary key default true check (one),
    revision bigint not null default 0
);
insert into idp.exemption_revision default values;

alter table idp.exemption add column revision bigint not null default 0;
create index exemption_by_revision on idp.exemption (revision);

-- Whoever changes an exemption need not think of it. Every process hears of it.
create function idp.count_exemption() returns trigger language plpgsql as $$
begin
    update idp.exemption_revision set revision = revision + 1 returning revision into new.revision;
    perform pg_notify('idp_scores', '');
    return new;
end
$$;
create trigger exemption_counted before insert or update on idp.exemption
for each row execute function idp.count_exemption();
