-- Who looked at or changed whose data: only ever appended to, but for its oldest end.
-- Holds no personal value, so that it outlives the people it is about.
create table audit_entries (
    workspace text not null,
    -- From 1 on, without gaps.
    sequence bigint not null,
    time_ms bigint not null,
    actor text not null,
    action text not null,
    -- Empty where a list of many was read.
    profile_id text not null,
    request_id text not null,
    detail text not null,
    -- BLAKE3 over the entry and the hash before it.
    hash bytea not null,
    primary key (workspace, sequence)
);
create index audit_entries_of_profile on audit_entries (workspace, profile_id, sequence)
    where profile_id <> '';

-- Both ends of each workspace's chain; the row's lock makes appending take turns.
create table audit_heads (
    workspace text not null primary key,
    -- The newest entry.
    sequence bigint not null,
    hash bytea not null,
    -- The entry before the oldest that is kept.
    base_sequence bigint not null,
    base_hash bytea not null
);

-- One row: how far the pass over all people has come that drops what is too old.
create table retention (
    id bigint not null primary key,
    done boolean not null,
    begin_ms bigint not null,
    -- When it last came on; another process takes over where that is long ago.
    progress_ms bigint not null,
    -- After whom it goes on.
    workspace text not null,
    profile_id text not null
);
insert into retention (id, done, begin_ms, progress_ms, workspace, profile_id)
    values (1, true, 0, 0, '', '');
