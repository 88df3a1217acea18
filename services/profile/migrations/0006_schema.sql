-- Values of traits that hold no longer, or came too late to. What holds is in the record.
create table trait_history (
    workspace text not null,
    -- The living profile.
    profile_id text not null,
    trait_id text not null,
    -- When it was true.
    time_ms bigint not null,
    sequence bigint not null,
    -- Whose identifier it came by.
    origin_id text not null,
    value bytea not null,
    primary key (workspace, profile_id, trait_id, time_ms, sequence)
);

-- Counts of what arrived; `trait_id` is empty for all that a source sends.
create table quality (
    workspace text not null,
    source text not null,
    trait_id text not null,
    accepted bigint not null,
    rejected bigint not null,
    duplicate bigint not null,
    conflict bigint not null,
    late bigint not null,
    primary key (workspace, source, trait_id)
);

-- The revision (`0010_revisions.sql`) at which traits or event types changed last.
create table schema_revisions (
    workspace text not null,
    revision bigint not null,
    primary key (workspace)
);
