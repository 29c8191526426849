-- Accounts, contacts, validation sessions, the identity server's associations and the outbox.
-- BYTES is BLOB on SQLite and BYTEA on PostgreSQL. Times are milliseconds since the epoch; nullable `_at` columns are also flags.

CREATE TABLE accounts (
    user_id TEXT NOT NULL PRIMARY KEY,
    password_hash TEXT,
    created_at BIGINT NOT NULL,
    deactivated_at BIGINT
);

CREATE TABLE devices (
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    device_id TEXT NOT NULL,
    display_name TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id)
);

CREATE TABLE access_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX access_tokens_by_device ON access_tokens (user_id, device_id);

CREATE TABLE openid_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
CREATE INDEX openid_tokens_by_user ON openid_tokens (user_id);
CREATE INDEX openid_tokens_by_expiry ON openid_tokens (expires_at);

-- The primary key allows one owner for each (medium, canonical address). `address` is the spelling that was verified.
CREATE TABLE threepids (
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    address TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    validated_at BIGINT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (medium, canonical)
);
CREATE INDEX threepids_by_user ON threepids (user_id, added_at, medium, canonical);

-- The identity server at which an account's address was bound, so that it can be unbound there.
CREATE TABLE threepid_bindings (
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    id_server TEXT NOT NULL,
    bound_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, medium, canonical, id_server)
);

-- `owner` is the account that opened the session (purposes add and identity), or ''.
CREATE TABLE validation_sessions (
    sid TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    owner TEXT NOT NULL,
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    address TEXT NOT NULL,
    secret_hash BYTES NOT NULL,
    send_attempt BIGINT NOT NULL,
    wrong_attempts BIGINT NOT NULL,
    next_link TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    validated_at BIGINT,
    consumed_at BIGINT
);
-- One open session for each (purpose, owner, address, secret); a closed one makes room for the next.
CREATE UNIQUE INDEX validation_sessions_open
    ON validation_sessions (purpose, owner, medium, canonical, secret_hash) WHERE consumed_at IS NULL;
CREATE INDEX validation_sessions_by_address ON validation_sessions (medium, canonical);
CREATE INDEX validation_sessions_by_owner ON validation_sessions (owner) WHERE owner <> '';
CREATE INDEX validation_sessions_by_expiry ON validation_sessions (expires_at);

-- One row for each message of a session: the hashes of a link token and a short code.
CREATE TABLE validation_tokens (
    sid TEXT NOT NULL REFERENCES validation_sessions (sid) ON DELETE CASCADE,
    send_attempt BIGINT NOT NULL,
    link_hash BYTES NOT NULL,
    link_expires_at BIGINT NOT NULL,
    code_hash BYTES NOT NULL,
    code_expires_at BIGINT NOT NULL,
    PRIMARY KEY (sid, send_attempt)
);
CREATE UNIQUE INDEX validation_tokens_by_link ON validation_tokens (link_hash);

-- The session ID is stored as a hash; `request` is sealed with a key that only the holder of the session ID has.
CREATE TABLE uia_sessions (
    id_hash BYTES NOT NULL PRIMARY KEY,
    operation TEXT NOT NULL,
    subject TEXT NOT NULL,
    request_mac BYTES NOT NULL,
    request BYTES NOT NULL,
    completed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    result TEXT
);
CREATE INDEX uia_sessions_by_expiry ON uia_sessions (expires_at);

CREATE TABLE identity_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX identity_tokens_by_user ON identity_tokens (user_id);

CREATE TABLE peppers (
    pepper TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);
CREATE UNIQUE INDEX peppers_current ON peppers ((1)) WHERE retired_at IS NULL;

CREATE TABLE associations (
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    mxid TEXT NOT NULL,
    bound_at BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    PRIMARY KEY (medium, canonical)
);
CREATE INDEX associations_by_mxid ON associations (mxid);

CREATE TABLE association_hashes (
    pepper TEXT NOT NULL REFERENCES peppers (pepper) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    PRIMARY KEY (pepper, hash),
    FOREIGN KEY (medium, canonical) REFERENCES associations (medium, canonical) ON DELETE CASCADE
);
CREATE INDEX association_hashes_by_address ON association_hashes (medium, canonical);

-- Jobs to deliver. The timestamps are the state; `params` is erased when a job is done.
CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    language TEXT NOT NULL,
    template TEXT NOT NULL,
    params TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    sent_at BIGINT,
    failed_at BIGINT,
    last_error TEXT
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE sent_at IS NULL AND failed_at IS NULL;
CREATE INDEX outbox_done ON outbox (created_at);

-- The development mailbox: mails that the server would have sent.
CREATE TABLE mailbox (
    id TEXT NOT NULL PRIMARY KEY,
    recipient TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    message BYTES NOT NULL
);
CREATE INDEX mailbox_by_time ON mailbox (received_at);

-- Used validation sessions of other identity servers: each proves an address once.
CREATE TABLE remote_sessions (
    id_server TEXT NOT NULL,
    sid_hash BYTES NOT NULL,
    user_id TEXT NOT NULL,
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (id_server, sid_hash)
);

-- Limits that were used lately: at `full_at` the burst is full again.
CREATE TABLE limits (
    key TEXT NOT NULL PRIMARY KEY,
    full_at BIGINT NOT NULL
);
CREATE INDEX limits_by_time ON limits (full_at);

-- Short-lived keys of invitations.
CREATE TABLE ephemeral_keys (
    public_key TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
