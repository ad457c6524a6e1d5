-- Everything of ours lies in one schema, so that a shared database stays tidy.
create schema if not exists idp;
