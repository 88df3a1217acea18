-- Who the customers are and what they did. The workspace comes first in every key.

-- One row. Its lock makes writers take turns, whichever process they are in, so that
-- what one of them found out about identities stays true until it commits; the number
-- in it orders the events.
create table writers (
    id bigint primary key,
    sequence bigint not null
);
insert into writers (id, sequence) values (1, 0);

create table profiles (
    workspace text not null,
    profile_id text not null,
    -- Whether it holds a user id.
    known boolean not null,
    -- What the person decided about personalization; null where nothing was.
    personalization boolean,
    -- The living profile this one became part of. Never of one that is merged itself.
    merged_into text,
    create_ms bigint not null,
    update_ms bigint not null,
    -- Traits, consents and groups. That of a merged profile stays as it was.
    record bytea not null,
    primary key (workspace, profile_id)
);
create index profiles_merged on profiles (workspace, merged_into) where merged_into is not null;

create table identities (
    workspace text not null,
    -- namespace:value
    key text not null,
    profile_id text not null,
    create_ms bigint not null,
    primary key (workspace, key)
);
create index identities_of_profile on identities (workspace, profile_id);

-- In the order of the timeline: by when it happened, then by when it was written.
create table events (
    workspace text not null,
    profile_id text not null,
    time_ms bigint not null,
    sequence bigint not null,
    event_id text not null,
    type text not null,
    receive_ms bigint not null,
    event bytea not null,
    -- The part of it that snapshots hold.
    recent bytea not null,
    primary key (workspace, profile_id, time_ms, sequence)
);
create unique index events_by_id on events (workspace, event_id);

-- Ids of messages that are no events, to know them again.
create table messages (
    workspace text not null,
    message_id text not null,
    profile_id text not null,
    receive_ms bigint not null,
    primary key (workspace, message_id)
);
