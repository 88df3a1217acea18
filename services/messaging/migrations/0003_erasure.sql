-- Who was erased: nothing is queued for them any more, however late it is asked for.
create table erased_profiles (
    workspace text not null,
    profile_id text not null,
    primary key (workspace, profile_id)
);

-- One row, which those who queue lock together and those who erase lock alone: no
-- message can come in between an erasure's look at them and its commit.
create table erasure_gate (id bigint primary key);
insert into erasure_gate (id) values (1);

-- What the profile service knows the recipient's address by, of messages to no profile;
-- null until it was asked, empty where it knows none.
alter table messages add column address_key text;
create index messages_of_address on messages (workspace, address_key)
    where profile_id = '' and address_key is not null;
create index messages_unhashed on messages (workspace, message_id)
    where profile_id = '' and address_key is null;
