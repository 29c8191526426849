-- Accounts that were imported from another server, so that a second import brings only what changed there since.

-- One row for each server. `run_id` is the run that writes now, or wrote last; another run that starts takes its place.
-- `settings` is what passwords depend on there, and must not change between two runs. `done` of `total` accounts were compared.
CREATE TABLE imports (
    source TEXT NOT NULL PRIMARY KEY,
    settings TEXT NOT NULL,
    run_id TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    done BIGINT NOT NULL,
    total BIGINT NOT NULL
);

-- `theirs` is a hash of what the other server had of the account at the last import, `ours` of what we had afterwards.
CREATE TABLE imported_accounts (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (user_id) ON DELETE CASCADE,
    source TEXT NOT NULL REFERENCES imports (source) ON DELETE CASCADE,
    theirs BYTES NOT NULL,
    ours BYTES NOT NULL
);
CREATE INDEX imported_accounts_by_source ON imported_accounts (source);
