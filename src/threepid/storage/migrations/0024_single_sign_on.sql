-- A token for one login belongs to the device that asked for it, or to the browser in which somebody signed an app in.
-- The old ones live for an hour at most: a client that still needs one requests another.
DROP TABLE login_tokens;
CREATE TABLE login_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    device_id TEXT,
    session_id TEXT REFERENCES web_sessions (session_id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK ((device_id IS NULL) <> (session_id IS NULL)),
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX login_tokens_by_user ON login_tokens (user_id, number);
CREATE INDEX login_tokens_by_session ON login_tokens (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX login_tokens_by_expiry ON login_tokens (expires_at);
