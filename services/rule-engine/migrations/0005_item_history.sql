-- What an item cost before and when it came back into stock, encoded; null where it
-- never changed.
alter table items add column history bytea;
