-- Lookups at any size: one short walk for each hash, peppers that can be replaced while both answer, and daily budgets.
-- CLUSTERED is WITHOUT ROWID on SQLite, where a table is then kept in the order of its key, and nothing on PostgreSQL.

-- What was hashed before is hashed anew, under a new pepper, when the server starts.
DROP TABLE association_hashes;
DROP TABLE peppers;

-- Their states are a table in domain/peppers.py. `last_medium` and `last_canonical` say how far the associations are hashed,
-- `hashed` how many that is; `worker` does the work until `leased_until`.
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

-- What a lookup answers stands beside the hash, so that it need not look anywhere else; nobody's address does.
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

-- Which addresses somebody asked for on one day, as marks at places that only the server's secret leads to:
-- docs/decisions/0005-lookups-are-counted-by-marks.md. `who` is a keyed hash, too.
CREATE TABLE lookup_tallies (
    day BIGINT NOT NULL,
    who TEXT NOT NULL,
    marked BIGINT NOT NULL,
    marks BYTES NOT NULL,
    PRIMARY KEY (day, who)
);

-- How many addresses were looked up from one network on one day, each counted once for a user.
CREATE TABLE lookup_networks (
    day BIGINT NOT NULL,
    network TEXT NOT NULL,
    asked BIGINT NOT NULL,
    PRIMARY KEY (day, network)
);
