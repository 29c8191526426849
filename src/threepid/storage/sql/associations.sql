-- name: bind(medium, canonical, mxid, bound_at, not_before, not_after)!
-- Insert or replace an association; the last proof wins.
INSERT INTO associations (medium, canonical, mxid, bound_at, not_before, not_after)
VALUES (:medium, :canonical, :mxid, :bound_at, :not_before, :not_after)
ON CONFLICT (medium, canonical) DO UPDATE SET
    mxid = excluded.mxid, bound_at = excluded.bound_at,
    not_before = excluded.not_before, not_after = excluded.not_after;

-- name: unbind(medium, canonical, mxid)!
-- Delete an association.
DELETE FROM associations WHERE medium = :medium AND canonical = :canonical AND mxid = :mxid;

-- name: of_user(mxid)
-- The addresses that are bound to a user ID.
SELECT medium, canonical, mxid, bound_at, not_before, not_after FROM associations
WHERE mxid = :mxid ORDER BY bound_at, medium, canonical;

-- name: unbind_all(mxid)
-- Delete all associations of a user.
DELETE FROM associations WHERE mxid = :mxid RETURNING medium, canonical;

-- name: count()$
-- Number of associations.
SELECT COUNT(*) FROM associations;

-- name: get(medium, canonical, now)^
-- The association of an address that is in force.
SELECT medium, canonical, mxid, bound_at, not_before, not_after FROM associations
WHERE medium = :medium AND canonical = :canonical AND not_before <= :now AND not_after > :now;

-- name: hold_user(user_id)$
-- Do nothing: SQLite has one writer, so identity tokens of a user are made one at a time.
SELECT CAST(:user_id AS TEXT);

-- name: hold_user_on_postgresql(user_id)$
-- Hold an advisory lock until the transaction ends, because users of other homeservers have no row to lock.
SELECT CAST(pg_advisory_xact_lock(hashtextextended('identity token ' || CAST(:user_id AS TEXT), 0)) AS TEXT);

-- name: insert_token(token_hash, user_id, device_id, created_at, expires_at)!
-- Insert the hash of an access token of the identity server, as the user's newest.
INSERT INTO identity_tokens (token_hash, user_id, device_id, number, created_at, expires_at)
VALUES (:token_hash, :user_id, CAST(:device_id AS TEXT), (
    SELECT COALESCE(MAX(number), 0) + 1 FROM identity_tokens WHERE user_id = :user_id
), :created_at, CAST(:expires_at AS BIGINT));

-- name: delete_surplus_tokens(user_id, at_most)!
-- Delete all but the newest identity tokens of a user.
DELETE FROM identity_tokens WHERE user_id = :user_id AND token_hash NOT IN (
    SELECT token_hash FROM identity_tokens WHERE user_id = :user_id ORDER BY number DESC LIMIT :at_most
);

-- name: token_user(token_hash, now)$
-- The user ID of an unexpired identity token.
SELECT user_id FROM identity_tokens
WHERE token_hash = :token_hash AND (expires_at IS NULL OR expires_at > :now);

-- name: delete_token(token_hash)!
-- Delete one identity token.
DELETE FROM identity_tokens WHERE token_hash = :token_hash;

-- name: delete_tokens(user_id)!
-- Delete all identity tokens of a user.
DELETE FROM identity_tokens WHERE user_id = :user_id;

-- name: delete_tokens_of_device(user_id, device_id)!
-- Delete the identity tokens of a device of our own homeserver.
DELETE FROM identity_tokens WHERE user_id = :user_id AND device_id = :device_id;

-- name: delete_tokens_without_device(user_id)!
-- Delete the identity tokens of a user for OpenID tokens that we did not issue.
DELETE FROM identity_tokens WHERE user_id = :user_id AND device_id IS NULL;

-- name: delete_expired_tokens(now)!
-- Delete expired identity tokens.
DELETE FROM identity_tokens WHERE expires_at <= :now;

-- name: ephemeral_key_expiry(public_key)$
-- When a short-lived key expires.
SELECT expires_at FROM ephemeral_keys WHERE public_key = :public_key;

-- name: insert_ephemeral_key(public_key, created_at, expires_at)!
-- Insert a short-lived key of an invitation.
INSERT INTO ephemeral_keys (public_key, created_at, expires_at) VALUES (:public_key, :created_at, :expires_at);
