-- Hashes under an integer key that is made from them, and lookup marks that can be read without unpacking.
-- BIGKEY is a 64-bit key: on SQLite the rowid, which finds a row with the fewest pages.

-- The server hashes all associations again, under a new pepper, when it starts.
DROP TABLE association_hashes;
DELETE FROM peppers;

-- storage/peppers.py makes `key` from the pepper's number and the beginning of the hash.
CREATE TABLE association_hashes (
    key BIGKEY,
    pepper BIGINT NOT NULL,
    hash TEXT NOT NULL,
    mxid TEXT NOT NULL,
    not_after BIGINT NOT NULL
);

-- The old tallies were packed differently, so every caller's daily budget starts again.
DELETE FROM lookup_tallies;
DELETE FROM lookup_networks;
