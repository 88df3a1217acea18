-- Where an outcome's slot was shown, by what, and the rules that touched it (ids,
-- separated by blanks); and a number in the order of commits, by which outcomes are
-- followed. Outcomes of before have 0 and were shown nowhere.
alter table outcomes add column sequence bigint not null default 0;
alter table outcomes add column placement text not null default '';
alter table outcomes add column strategy text not null default '';
alter table outcomes add column channel text not null default '';
alter table outcomes add column rule_ids text not null default '';

create index outcomes_by_sequence on outcomes (sequence);
create index outcomes_by_person on outcomes (workspace, profile_id);

create table outcome_head (
    id bigint primary key,
    sequence bigint not null
);
insert into outcome_head (id, sequence) values (1, 0);

-- What people do not want to see again, kept longer than the outcomes that said so.
create table dismissals (
    workspace text not null,
    profile_id text not null,
    item_id text not null,
    time_ms bigint not null,
    primary key (workspace, profile_id, item_id)
);

-- Whom a profile id stands for that was merged into another.
create table merged_people (
    workspace text not null,
    merged_profile_id text not null,
    profile_id text not null,
    time_ms bigint not null,
    primary key (workspace, merged_profile_id)
);

-- Exposures of what a rule with a budget touched, by period of its budget.
create table rule_exposures (
    workspace text not null,
    rule_id text not null,
    period_start_ms bigint not null,
    exposure_count bigint not null,
    primary key (workspace, rule_id, period_start_ms)
);
