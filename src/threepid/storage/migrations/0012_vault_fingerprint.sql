-- By which secret the hashes in this database were made: a keyed hash, from which nobody gets the secret. At most one row.

CREATE TABLE vault_fingerprints (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number = 1),
    fingerprint BYTES NOT NULL,
    recorded_at BIGINT NOT NULL
);
