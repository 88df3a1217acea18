-- A rule as it is in force and, beside it, as a draft. Either may be absent, not both.
create table rules (
    workspace text not null,
    rule_id text not null,
    -- Of what is in force; 0 where nothing is.
    version bigint not null,
    etag text,
    data bytea,
    create_ms bigint,
    update_ms bigint,
    draft_etag text,
    draft_data bytea,
    draft_create_ms bigint,
    draft_update_ms bigint,
    primary key (workspace, rule_id)
);

create index rules_with_drafts on rules (workspace, rule_id) where draft_data is not null;

-- What was ever in force. Kept when the rule is deleted.
create table rule_versions (
    workspace text not null,
    rule_id text not null,
    version bigint not null,
    publish_ms bigint not null,
    comment text not null,
    is_deletion boolean not null,
    data bytea not null,
    primary key (workspace, rule_id, version)
);

-- Rules used to lie among the other resources.
insert into rules (workspace, rule_id, version, etag, data, create_ms, update_ms)
    select workspace, id, 1, etag, data, create_ms, update_ms
    from resources where kind = 'rule';
insert into rule_versions (workspace, rule_id, version, publish_ms, comment, is_deletion, data)
    select workspace, id, 1, update_ms, '', false, data
    from resources where kind = 'rule';
delete from resources where kind = 'rule';
