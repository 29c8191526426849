-- Sessions of browsers that are signed in to an account. The cookie has a token, of which the hash is stored; `session_id` is the
-- name by which the account's owner sees the session in a list. `confirmed_at` is when the owner last proved to be the owner.
CREATE TABLE web_sessions (
    token_hash BYTES NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    seen_from TEXT NOT NULL,
    user_agent TEXT NOT NULL
);
CREATE INDEX web_sessions_by_user ON web_sessions (user_id, created_at);
CREATE INDEX web_sessions_by_seen ON web_sessions (seen_at);
