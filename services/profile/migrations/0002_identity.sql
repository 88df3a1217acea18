-- Whose things are. What came by an identifier belongs to the profile that identifier
-- began with (its origin), and to whoever that profile is part of now (profile_id), so
-- that a merge can be undone. An origin is null where it is the profile itself, which it
-- is for most rows; of `messages`, profile_id is the origin.

alter table events add column origin_id text;

alter table identities add column origin_id text;
alter table identities add column namespace text not null default '';
update identities set namespace = substr(key, 1, length(key)
    - length(ltrim(key, 'abcdefghijklmnopqrstuvwxyz0123456789_')));

-- Of a merged profile: the one it was joined to, which may be merged itself by now, and
-- when. What it says of itself stays in `record`.
alter table profiles add column joined_into text;
alter table profiles add column joined_ms bigint;
-- Of a living profile others are merged into: what came by its own identifiers;
-- `record` is what that and theirs come to.
alter table profiles add column own bytea;
-- Of a device that several customers use: it is nobody's.
alter table profiles add column shared boolean not null default false;
-- Whether it, or one merged into it, is kept apart from somebody.
alter table profiles add column apart boolean not null default false;
-- Of a living profile: identifiers, and profiles that are this person, itself included.
alter table profiles add column identity_count bigint not null default 0;
alter table profiles add column profile_count bigint not null default 1;
update profiles set
    joined_into = merged_into,
    joined_ms = case when merged_into is null then null else update_ms end,
    identity_count = (select count(*) from identities i
        where i.workspace = profiles.workspace and i.profile_id = profiles.profile_id),
    profile_count = 1 + (select count(*) from profiles m
        where m.workspace = profiles.workspace and m.merged_into = profiles.profile_id);
update profiles set own = record where profile_count > 1;

-- Every merge: made, undone, or refused because a bound or an operator forbids it. In
-- the order of their ids.
create table merges (
    workspace text not null,
    merge_id text not null,
    -- The one that stayed.
    profile_id text not null,
    merged_id text not null,
    state text not null,
    time_ms bigint not null,
    -- What showed it, and what undid it.
    evidence bytea not null,
    primary key (workspace, merge_id)
);
create index merges_of_profile on merges (workspace, profile_id, merge_id);
create index merges_of_merged on merges (workspace, merged_id, merge_id);
-- What is refused with every message is told once.
create unique index merges_refused on merges (workspace, profile_id, merged_id)
    where state = 'refused';

-- Two profiles that were found to be two people after all; both ways round.
create table kept_apart (
    workspace text not null,
    profile_id text not null,
    other_id text not null,
    primary key (workspace, profile_id, other_id)
);

-- Customers a device was seen with, besides the one who holds its identifier.
create table encounters (
    workspace text not null,
    key text not null,
    profile_id text not null,
    primary key (workspace, key, profile_id)
);
create index encounters_of_profile on encounters (workspace, profile_id);
