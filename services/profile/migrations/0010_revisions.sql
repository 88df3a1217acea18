-- Raised by whatever changes what a workspace declares (traits, event types, purposes,
-- segments): every writer reads it with its turn, and so works by what is declared now.
alter table writers add column revision bigint not null default 0;
