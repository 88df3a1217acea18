-- The catalog's items as deciding needs them, with the time each was first published.
create table items (
    workspace text not null,
    item_id text not null,
    data bytea not null,
    first_published_ms bigint,
    primary key (workspace, item_id)
);

create table item_types (
    workspace text not null,
    item_type_id text not null,
    data bytea not null,
    primary key (workspace, item_type_id)
);

-- What behaviour has taught, as of this service's position in the profile's log.
create table models (
    workspace text primary key,
    format bigint not null,
    data bytea not null
);

-- Decisions in chunks, in the order of their ids, which is that of their times.
create table decisions (
    workspace text not null,
    last_id text not null,
    first_id text not null,
    decision_count bigint not null,
    data bytea not null,
    primary key (workspace, last_id, first_id)
);

create table outcomes (
    workspace text not null,
    outcome_key text not null,
    decision_id text not null,
    position bigint not null,
    outcome_type bigint not null,
    item_id text not null,
    profile_id text not null,
    value double precision not null,
    time_ms bigint not null,
    record_ms bigint not null,
    primary key (workspace, outcome_key)
);

create index outcomes_by_decision on outcomes (workspace, decision_id, time_ms);

-- Counts the edits of a workspace's rule base, so that other replicas notice them.
create table rule_revisions (
    workspace text primary key,
    revision bigint not null
);

create table secret_keys (
    name text primary key,
    value bytea not null
);
