-- Whose identifier things came by, where that is not the profile they belong to now.
alter table events add column origin_id text;
alter table identities add column origin_id text;
