-- Whether an outcome came within the attribution window of its decision.
alter table outcomes add column attributed boolean not null default true;

-- What became of each slot, so that it counts once for each kind of outcome: a bit for
-- each outcome type, and what it brought.
create table slot_outcomes (
    workspace text not null,
    decision_id text not null,
    position bigint not null,
    seen bigint not null,
    revenue double precision not null,
    primary key (workspace, decision_id, position)
);

-- Counts by the day (since 1970, UTC) of the decisions, and by where they were made.
-- `breakdown` says what `key` is: 0 nothing, 1 an item, 2 a rule.
create table report_rows (
    workspace text not null,
    breakdown bigint not null,
    day bigint not null,
    placement text not null,
    strategy text not null,
    channel text not null,
    key text not null,
    decision_count bigint not null,
    exposure_count bigint not null,
    click_count bigint not null,
    dismiss_count bigint not null,
    conversion_count bigint not null,
    revenue double precision not null,
    revenue_squares double precision not null,
    primary key (workspace, breakdown, day, placement, strategy, channel, key)
);
