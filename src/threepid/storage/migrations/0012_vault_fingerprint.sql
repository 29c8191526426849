-- The fingerprint of the secret that made the hashes in this database: a keyed hash that does not reveal it. At most one row.

CREATE TABLE vault_fingerprints (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number = 1),
    fingerprint BYTES NOT NULL,
    recorded_at BIGINT NOT NULL
);
