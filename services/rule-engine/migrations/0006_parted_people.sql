-- Who leads to somebody is found when that one is merged, so that every merged id leads to
-- the one that lives in one step, and goes with its own side where a merge is undone.
create index merged_people_of on merged_people (workspace, profile_id);
