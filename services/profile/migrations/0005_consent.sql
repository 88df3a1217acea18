-- What data may be used for, as far as a workspace declared it otherwise than it is from
-- the start.
create table purposes (
    workspace text not null,
    purpose_id text not null,
    etag text not null,
    -- The `Purpose` without its stamp.
    data bytea not null,
    create_ms bigint not null,
    update_ms bigint not null,
    primary key (workspace, purpose_id)
);

-- Every grant and withdrawal of consent. What holds is in the record of the profile.
create table consent_history (
    workspace text not null,
    -- The living profile.
    profile_id text not null,
    -- When it was decided.
    time_ms bigint not null,
    sequence bigint not null,
    -- Whose identifier it came by.
    origin_id text not null,
    -- Purpose, decision and evidence.
    decision bytea not null,
    primary key (workspace, profile_id, time_ms, sequence)
);
create index consent_history_by_origin on consent_history (workspace, origin_id);
