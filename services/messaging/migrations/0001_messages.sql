-- Messages and the queue they are delivered from, in one table: a message is queued
-- by being here in state 1, and stays as its own record afterwards.
create table messages (
    workspace text not null,
    message_id text not null,
    -- The sender's idempotency key; null where it gave none.
    request_id text,
    channel text not null,
    recipient text not null,
    profile_id text not null,
    template_id text not null,
    locale text not null,
    subject text not null,
    body_text text not null,
    body_html text not null,
    -- 1 queued, 2 delivered, 3 failed
    state bigint not null,
    attempt_count bigint not null,
    last_error text not null,
    create_ms bigint not null,
    -- When a worker may take it: the next attempt, or the end of the present lease.
    due_ms bigint not null,
    delivery_ms bigint,
    primary key (workspace, message_id)
);

create unique index messages_by_request on messages (workspace, request_id)
    where request_id is not null;

create index messages_due on messages (due_ms) where state = 1;
