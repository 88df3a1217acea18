-- What a merge ties: the two profiles that the identifiers began with which its evidence
-- named, whoever those are part of by now. A person is whoever ties that stand connect,
-- so that undoing one leaves with either side what hangs on it. Where it was not recorded,
-- the two that were joined.
alter table merges add column one_id text not null default '';
alter table merges add column other_id text not null default '';
update merges set one_id = profile_id, other_id = merged_id;
create index merges_of_one on merges (workspace, one_id, merge_id);
create index merges_of_other on merges (workspace, other_id, merge_id);
