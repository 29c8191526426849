-- Browsers that are signed in to the console of operators. The cookie has a secret, of which the hash is stored; `session_id` is what
-- forms are bound to. A session ends with the operator token that opened it, or with the browser session of the administrator's
-- account that did: one of the two is set.
CREATE TABLE operator_sessions (
    secret_hash BYTES NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    token_hash BYTES REFERENCES operator_tokens (token_hash) ON DELETE CASCADE,
    web_session_id TEXT REFERENCES web_sessions (session_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    CHECK ((token_hash IS NULL) <> (web_session_id IS NULL))
);
CREATE INDEX operator_sessions_by_token ON operator_sessions (token_hash, seen_at);
CREATE INDEX operator_sessions_by_web_session ON operator_sessions (web_session_id);
CREATE INDEX operator_sessions_by_seen ON operator_sessions (seen_at);
