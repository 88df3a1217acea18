-- What is derived of people: who is in which segment, how many there are over time, when
-- time has to be looked at again, and what is still being filled in.

-- The revision (`0010_revisions.sql`) at which a segment was last changed, so that only
-- what changed has to be read again. A deleted one stays, gone.
create table segment_revisions (
    workspace text not null,
    segment_id text not null,
    revision bigint not null,
    gone boolean not null,
    primary key (workspace, segment_id)
);
create index segment_revisions_by_age on segment_revisions (workspace, revision);

-- As the records of the members say; here in the order in which they are listed.
create table segment_members (
    workspace text not null,
    segment_id text not null,
    profile_id text not null,
    enter_ms bigint not null,
    primary key (workspace, segment_id, profile_id)
);
create index segment_members_of_profile on segment_members (workspace, profile_id);

create table segment_counts (
    workspace text not null,
    segment_id text not null,
    member_count bigint not null,
    primary key (workspace, segment_id)
);

-- One row an hour, of hours in which somebody came or went.
create table segment_sizes (
    workspace text not null,
    segment_id text not null,
    hour_ms bigint not null,
    -- At the end of the hour, or now.
    member_count bigint not null,
    entered_count bigint not null,
    left_count bigint not null,
    primary key (workspace, segment_id, hour_ms)
);

-- When time alone can next change what is derived of a profile.
create table due (
    workspace text not null,
    profile_id text not null,
    due_ms bigint not null,
    primary key (workspace, profile_id)
);
create index due_by_time on due (due_ms);

-- What is being filled in, or cleared away, profile by profile.
create table fills (
    workspace text not null,
    -- `segment` or `trait`
    kind text not null,
    id text not null,
    -- The last profile that was looked at; empty at the start.
    after_id text not null,
    looked_at bigint not null,
    -- Profiles there were when it began.
    total bigint not null,
    primary key (workspace, kind, id)
);

-- Profiles in an order that has nothing to do with who they are, for samples: the end of
-- an id is random.
create index profiles_by_chance on profiles (workspace, substr(profile_id, 29))
    where merged_into is null;
