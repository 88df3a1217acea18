create table workspaces (
    workspace text not null primary key,
    display_name text not null,
    create_ms bigint not null
);

create table api_keys (
    workspace text not null,
    api_key_id text not null,
    -- BLAKE3 of the secret, which is not kept.
    hash bytea not null unique,
    display_name text not null,
    -- One bit each: 1 write, 2 read, 4 admin.
    scopes bigint not null,
    -- 0 means the deployment's default.
    requests_per_second_max bigint not null,
    create_ms bigint not null,
    primary key (workspace, api_key_id)
);

-- Counts the changes of all keys, so that replicas can tell with one read of one row
-- whether to read the keys again.
create table key_version (
    id bigint not null primary key,
    version bigint not null
);

insert into key_version (id, version) values (1, 0);
