-- Hashes under a whole number that is made of them, and marks of lookups that can be read without unpacking.
-- BIGKEY is a key of 64 bits: on SQLite the one by which it finds a row with the fewest pages.

-- What was hashed before is hashed anew, under a new pepper, when the server starts.
DROP TABLE association_hashes;
DELETE FROM peppers;

-- `key` is made of the pepper's number and the beginning of the hash, in storage/peppers.py.
CREATE TABLE association_hashes (
    key BIGKEY,
    pepper BIGINT NOT NULL,
    hash TEXT NOT NULL,
    mxid TEXT NOT NULL,
    not_after BIGINT NOT NULL
);

-- They were packed otherwise: everybody's day begins anew.
DELETE FROM lookup_tallies;
DELETE FROM lookup_networks;
