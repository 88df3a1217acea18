-- A list that is made again under the name of one that was deleted begins empty: whoever
-- was on the old one was put on what was made at another revision.
alter table segment_revisions add column born bigint not null default 0;

-- With all that is read by it: SQLite would otherwise rather go through all members of a
-- workspace in the primary key, which has all its columns too.
drop index segment_members_of_profile;
create index segment_members_of_profile
    on segment_members (workspace, profile_id, segment_id);
