-- Lookups at any size: one index search for each hash, pepper rotation with overlap, and daily budgets.
-- CLUSTERED is WITHOUT ROWID on SQLite, which stores such a table in key order, and nothing on PostgreSQL.

-- The server hashes all associations again, under a new pepper, when it starts.
DROP TABLE association_hashes;
DROP TABLE peppers;

-- domain/identity/peppers.py has a table of the states. `last_medium` and `last_canonical` name the last hashed association,
-- `hashed` is the number of hashed associations; `worker` does the work until `leased_until`.
CREATE TABLE peppers (
    number BIGINT NOT NULL PRIMARY KEY,
    pepper TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_medium TEXT NOT NULL DEFAULT '',
    last_canonical TEXT NOT NULL DEFAULT '',
    hashed BIGINT NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',
    leased_until BIGINT NOT NULL DEFAULT 0,
    current_at BIGINT,
    answers_until BIGINT,
    gone_at BIGINT
);
CREATE UNIQUE INDEX peppers_filling ON peppers ((1)) WHERE current_at IS NULL;
CREATE UNIQUE INDEX peppers_current ON peppers ((1)) WHERE current_at IS NOT NULL AND answers_until IS NULL;

-- A lookup's answer stands beside the hash, so that a lookup reads no other table. The address does not.
CREATE TABLE association_hashes (
    pepper BIGINT NOT NULL,
    hash TEXT NOT NULL,
    mxid TEXT NOT NULL,
    not_after BIGINT NOT NULL,
    PRIMARY KEY (pepper, hash)
) CLUSTERED;

CREATE TABLE associations_in_order (
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    mxid TEXT NOT NULL,
    bound_at BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    PRIMARY KEY (medium, canonical)
) CLUSTERED;
INSERT INTO associations_in_order (medium, canonical, mxid, bound_at, not_before, not_after)
SELECT medium, canonical, mxid, bound_at, not_before, not_after FROM associations;
DROP TABLE associations;
ALTER TABLE associations_in_order RENAME TO associations;
CREATE INDEX associations_by_mxid ON associations (mxid);

-- The addresses that a caller looked up on a day, as marks at places that only the server's secret yields:
-- docs/decisions/0006-lookups-are-counted-by-marks.md. `who` is a keyed hash, too.
CREATE TABLE lookup_tallies (
    day BIGINT NOT NULL,
    who TEXT NOT NULL,
    marked BIGINT NOT NULL,
    marks BYTES NOT NULL,
    PRIMARY KEY (day, who)
);

-- Number of addresses that were looked up from a network on a day, each counted once for a user.
CREATE TABLE lookup_networks (
    day BIGINT NOT NULL,
    network TEXT NOT NULL,
    asked BIGINT NOT NULL,
    PRIMARY KEY (day, network)
);
