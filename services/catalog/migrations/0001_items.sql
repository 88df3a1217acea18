-- What can be offered. Item types are in the table `resources`, as other things are
-- that people edit one by one; items come by the hundred thousand.

create table items (
    workspace text not null,
    item_id text not null,
    item_type text not null,
    state bigint not null,
    etag text not null,
    -- attune.catalog.v1.Item, complete with etag and times: as it is answered.
    data bytea not null,
    create_ms bigint not null,
    update_ms bigint not null,
    primary key (workspace, item_id)
);

-- How many items are of a type (characteristic '') and how many of those have a
-- characteristic, so that nobody has to read all items to find out what is in use.
create table type_usage (
    workspace text not null,
    item_type text not null,
    characteristic text not null,
    items bigint not null,
    primary key (workspace, item_type, characteristic)
);

-- One row. Every write begins by updating it, which makes writers of several
-- processes take turns: what a write reads stays true until it commits.
create table catalog_turn (
    id bigint primary key,
    turns bigint not null
);
insert into catalog_turn (id, turns) values (1, 0);
