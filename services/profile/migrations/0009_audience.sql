-- Audiences on their way to destinations. Holds no one's data: what is sent is read
-- anew for every attempt.

create table audience_deliveries (
    workspace text not null,
    audience_delivery_id text not null,
    segment_id text not null,
    purpose text not null,
    layout bigint not null,
    destination text not null,
    state bigint not null,
    -- The last member that was dealt with; empty at the start.
    after_id text not null,
    -- The last member of the batch that is on its way; empty where none was tried. Kept,
    -- so that a batch that comes again is about the same people.
    until_id text not null,
    batch_count bigint not null,
    attempt_count bigint not null,
    failure text not null,
    -- Members of the segment when it began.
    total bigint not null,
    exported_count bigint not null,
    withheld_count bigint not null,
    unmatchable_count bigint not null,
    -- When it is next to be worked on; moved ahead by whoever works on it.
    next_ms bigint not null,
    create_ms bigint not null,
    update_ms bigint not null,
    primary key (workspace, audience_delivery_id)
);
-- 1 is DELIVERING.
create index audience_deliveries_due on audience_deliveries (next_ms) where state = 1;
