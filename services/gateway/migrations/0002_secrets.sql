-- Keys that this service makes for itself, such as the one that signs subject tokens.
create table secret_keys (
    name text not null primary key,
    value bytea not null
);
