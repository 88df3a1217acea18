-- Keys of people, wrapped by a master key; see `attune_vault`. Who is erased has none.
create table data_keys (
    workspace text not null,
    -- The profile.
    owner text not null,
    wrapped bytea not null,
    primary key (workspace, owner)
);

create table vault_secrets (
    name text primary key,
    wrapped bytea not null
);

-- From here on `identities.key`, `events.event_id` and `messages.message_id` are keyed
-- hashes, and `record`, `event` and `recent` are sealed with the key of the profile
-- they came by. What was written before is sealed when the service starts.
alter table identities add column value bytea;
alter table messages rename to clear_messages;
create table messages (
    workspace text not null,
    message_id text not null,
    profile_id text not null,
    receive_ms bigint not null,
    primary key (workspace, message_id)
);
create index messages_of_profile on messages (workspace, profile_id);

-- Whether that is done.
create table sealing (
    id bigint primary key,
    done boolean not null
);
insert into sealing (id, done) values (1, false);

create table erasures (
    workspace text not null,
    erasure_id text not null,
    time_ms bigint not null,
    event_count bigint not null,
    -- Of the audit entry, in hexadecimal.
    audit_hash text not null,
    primary key (workspace, erasure_id)
);

-- Whose ids an erasure took away, so that asking again gives the same.
create table erased_profiles (
    workspace text not null,
    profile_id text not null,
    erasure_id text not null,
    -- 0 for the one that lived.
    place bigint not null,
    primary key (workspace, profile_id)
);
create index erased_profiles_of_erasure on erased_profiles (workspace, erasure_id);
