-- What every service's database has: its event log, how far it has read the logs
-- of others, and the resources that people edit.

-- One row. Taking the next positions locks it until the commit, so positions
-- become visible in the order in which they were given, on both databases.
create table log_head (
    id bigint primary key,
    position bigint not null,
    trimmed_position bigint not null
);
insert into log_head (id, position, trimmed_position) values (1, 0, 0);

create table log (
    position bigint primary key,
    workspace text not null,
    key text not null,
    commit_ms bigint not null,
    entry bytea not null
);

create table consumer_positions (
    consumer text not null,
    source text not null,
    position bigint not null,
    primary key (consumer, source)
);

create table resources (
    workspace text not null,
    kind text not null,
    id text not null,
    etag text not null,
    data bytea not null,
    create_ms bigint not null,
    update_ms bigint not null,
    primary key (workspace, kind, id)
);
