-- name: insert(secret_hash, session_id, token_hash, web_session_id, now)!
-- Insert a session of a token or of an administrator's browser session.
INSERT INTO operator_sessions (secret_hash, session_id, token_hash, web_session_id, created_at, seen_at)
VALUES (:secret_hash, :session_id, :token_hash, :web_session_id, :now, :now);

-- name: get(secret_hash)^
-- The session of a secret, even an expired one, with its token or the account of its browser session.
SELECT operator_sessions.session_id, operator_sessions.created_at, operator_sessions.seen_at,
    operator_tokens.name AS token, operator_tokens.scopes, operator_tokens.created_at AS token_created_at,
    operator_tokens.expires_at AS token_expires_at,
    web_sessions.user_id, web_sessions.created_at AS web_created_at, web_sessions.seen_at AS web_seen_at, accounts.admin_at
FROM operator_sessions
LEFT JOIN operator_tokens ON operator_tokens.token_hash = operator_sessions.token_hash
LEFT JOIN web_sessions ON web_sessions.session_id = operator_sessions.web_session_id
LEFT JOIN accounts ON accounts.user_id = web_sessions.user_id AND accounts.deactivated_at IS NULL AND accounts.locked_at IS NULL
WHERE operator_sessions.secret_hash = :secret_hash;

-- name: seen(secret_hash, now)!
-- Update when a session was last seen.
UPDATE operator_sessions SET seen_at = :now WHERE secret_hash = :secret_hash;

-- name: delete(secret_hash)!
-- Delete a session.
DELETE FROM operator_sessions WHERE secret_hash = :secret_hash;

-- name: delete_surplus(token_hash, at_most)!
-- Delete all but the sessions of a token that were seen last.
DELETE FROM operator_sessions WHERE token_hash = :token_hash AND session_id NOT IN (
    SELECT session_id FROM operator_sessions WHERE token_hash = :token_hash ORDER BY seen_at DESC, session_id DESC LIMIT :at_most
);

-- name: delete_expired(created_before, seen_before, latest, at_most)!
-- Delete sessions that were made or seen before these times, or that a clock that was ahead made.
DELETE FROM operator_sessions WHERE secret_hash IN (
    SELECT secret_hash FROM operator_sessions
    WHERE created_at < :created_before OR seen_at < :seen_before OR seen_at > :latest LIMIT :at_most
);
