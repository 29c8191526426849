-- name: insert_login_token(token_hash, user_id, device_id, session_id, expires_at)!
-- Insert a token for one login, as the account's newest. It goes with its device or its browser session.
INSERT INTO login_tokens (token_hash, user_id, device_id, session_id, number, expires_at)
VALUES (:token_hash, :user_id, :device_id, :session_id, (
    SELECT COALESCE(MAX(number), 0) + 1 FROM login_tokens WHERE user_id = :user_id
), :expires_at);

-- name: delete_surplus_login_tokens(user_id, at_most)!
-- Delete all but the newest login tokens of an account.
DELETE FROM login_tokens WHERE user_id = :user_id AND token_hash NOT IN (
    SELECT token_hash FROM login_tokens WHERE user_id = :user_id ORDER BY number DESC LIMIT :at_most
);

-- name: take_login_token(token_hash, now, latest)$
-- Use up a login token and return its user ID.
DELETE FROM login_tokens
WHERE token_hash = :token_hash AND expires_at > :now AND expires_at <= :latest RETURNING user_id;

-- name: delete_login_tokens(user_id)!
-- Delete the login tokens of an account.
DELETE FROM login_tokens WHERE user_id = :user_id;

-- name: delete_login_tokens_of_device(user_id, device_id)!
-- Delete the login tokens of a device.
DELETE FROM login_tokens WHERE user_id = :user_id AND device_id = :device_id;

-- name: insert_openid_token(token_hash, user_id, device_id, expires_at)!
-- Insert an OpenID token, as the account's newest.
INSERT INTO openid_tokens (token_hash, user_id, device_id, number, expires_at)
VALUES (:token_hash, :user_id, :device_id, (
    SELECT COALESCE(MAX(number), 0) + 1 FROM openid_tokens WHERE user_id = :user_id
), :expires_at);

-- name: delete_surplus_openid_tokens(user_id, at_most)!
-- Delete all but the newest OpenID tokens of an account.
DELETE FROM openid_tokens WHERE user_id = :user_id AND token_hash NOT IN (
    SELECT token_hash FROM openid_tokens WHERE user_id = :user_id ORDER BY number DESC LIMIT :at_most
);

-- name: openid_owner(token_hash, now, latest)^
-- The user and device of an unexpired OpenID token.
SELECT user_id, device_id FROM openid_tokens WHERE token_hash = :token_hash AND expires_at > :now AND expires_at <= :latest;

-- name: delete_openid_tokens(user_id)!
-- Delete the OpenID tokens of an account.
DELETE FROM openid_tokens WHERE user_id = :user_id;

-- name: delete_openid_tokens_of_device(user_id, device_id)!
-- Delete the OpenID tokens of a device.
DELETE FROM openid_tokens WHERE user_id = :user_id AND device_id = :device_id;

-- name: delete_expired_openid_tokens(now, latest, at_most)!
-- Delete OpenID tokens that have expired or that a clock that was ahead issued.
DELETE FROM openid_tokens WHERE token_hash IN (
    SELECT token_hash FROM openid_tokens WHERE expires_at <= :now
    UNION ALL SELECT token_hash FROM openid_tokens WHERE expires_at > :latest LIMIT :at_most
);

-- name: delete_expired_login_tokens(now, latest, at_most)!
-- Delete login tokens that have expired or that a clock that was ahead issued.
DELETE FROM login_tokens WHERE token_hash IN (
    SELECT token_hash FROM login_tokens WHERE expires_at <= :now
    UNION ALL SELECT token_hash FROM login_tokens WHERE expires_at > :latest LIMIT :at_most
);
