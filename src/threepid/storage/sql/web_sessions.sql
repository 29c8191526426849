-- name: insert(token_hash, session_id, user_id, now, seen_from, user_agent)!
-- Insert a session, which its owner has just confirmed by signing in.
INSERT INTO web_sessions (token_hash, session_id, user_id, created_at, seen_at, confirmed_at, seen_from, user_agent)
VALUES (:token_hash, :session_id, :user_id, :now, :now, :now, :seen_from, :user_agent);

-- name: get(token_hash)^
-- The session of a token, even an expired one.
SELECT session_id, user_id, created_at, seen_at, confirmed_at, seen_from, user_agent FROM web_sessions
WHERE token_hash = :token_hash;

-- name: hold(token_hash)!
-- Lock the row of a session until the transaction ends; touches no row if there is none.
UPDATE web_sessions SET seen_at = seen_at WHERE token_hash = :token_hash;

-- name: seen(token_hash, now, seen_from, user_agent)!
-- Update when, from where and by which user agent a session was last seen.
UPDATE web_sessions SET seen_at = :now, seen_from = :seen_from, user_agent = :user_agent WHERE token_hash = :token_hash;

-- name: confirm(token_hash, new_hash, now)!
-- Replace the token of a session whose owner has confirmed it.
UPDATE web_sessions SET token_hash = :new_hash, confirmed_at = :now, seen_at = :now WHERE token_hash = :token_hash;

-- name: of_user(user_id)
-- The sessions of an account, oldest first.
SELECT session_id, user_id, created_at, seen_at, confirmed_at, seen_from, user_agent FROM web_sessions
WHERE user_id = :user_id ORDER BY created_at, session_id;

-- name: delete_surplus(user_id, at_most)!
-- Delete all but the sessions of an account that were seen last.
DELETE FROM web_sessions WHERE user_id = :user_id AND session_id NOT IN (
    SELECT session_id FROM web_sessions WHERE user_id = :user_id ORDER BY seen_at DESC, session_id DESC LIMIT :at_most
);

-- name: delete(user_id, session_id)!
-- Delete one session of an account.
DELETE FROM web_sessions WHERE user_id = :user_id AND session_id = :session_id;

-- name: delete_of_user(user_id, but)!
-- Delete the sessions of an account but this one.
DELETE FROM web_sessions WHERE user_id = :user_id AND session_id <> :but;

-- name: delete_expired(created_before, seen_before, latest, at_most)!
-- Delete sessions that were made or seen before these times, or that a clock that was ahead made.
DELETE FROM web_sessions WHERE token_hash IN (
    SELECT token_hash FROM web_sessions WHERE created_at < :created_before
    UNION ALL SELECT token_hash FROM web_sessions WHERE seen_at < :seen_before
    UNION ALL SELECT token_hash FROM web_sessions WHERE seen_at > :latest LIMIT :at_most
);
