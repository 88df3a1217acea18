-- Keys of the people messages went to, wrapped by a master key; see `attune_vault`.
create table data_keys (
    workspace text not null,
    -- The profile, or the message itself where it went to nobody we know.
    owner text not null,
    wrapped bytea not null,
    primary key (workspace, owner)
);

create table vault_secrets (
    name text primary key,
    wrapped bytea not null
);

-- From here on recipient, subject, bodies and last_error are empty, and sealed here;
-- `request_id` is a keyed hash. What was written before is sealed at the start.
alter table messages add column sealed bytea;
alter table messages add column sealed_error bytea;
create index messages_of_profile on messages (workspace, profile_id)
    where profile_id <> '';
