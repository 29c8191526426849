-- Tokens of programs and people that use the admin API. The hash of a token is stored; `name` is unique, and stands in the audit log.
-- `scopes` are words with spaces between them. `used_at` is when the token was last used, to the hour.
CREATE TABLE operator_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

-- What strangers can cause without end, as numbers: `count` events of a kind from a network in a minute since 1970. The network
-- is '' for those of a minute that came from too many networks to name.
CREATE TABLE audit_sums (
    minute BIGINT NOT NULL,
    kind TEXT NOT NULL,
    network TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (minute, kind, network)
);

-- The export of the audit log in the order of time, and the messages to the addresses of an account.
CREATE INDEX audit_log_by_time ON audit_log (at, entry_id);
DROP INDEX audit_log_by_age;
CREATE INDEX outbox_recipients ON outbox (recipient, created_at);
