-- Who was erased: tokens that name them are still about, and what comes of those is a
-- stranger's.
create table erased_people (
    workspace text not null,
    profile_id text not null,
    time_ms bigint not null,
    primary key (workspace, profile_id)
);
create index erased_people_by_time on erased_people (time_ms);
