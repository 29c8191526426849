-- name: insert_account(user_id, password_hash, created_at)!
-- A new account; touches no row if the user ID is taken.
INSERT INTO accounts (user_id, password_hash, created_at)
VALUES (:user_id, CAST(:password_hash AS TEXT), :created_at)
ON CONFLICT (user_id) DO NOTHING;

-- name: account(user_id)^
-- One account.
SELECT user_id, password_hash, created_at, deactivated_at FROM accounts WHERE user_id = :user_id;

-- name: account_by_threepid(medium, canonical)^
-- The account that owns an address.
SELECT accounts.user_id, password_hash, created_at, deactivated_at
FROM threepids JOIN accounts ON accounts.user_id = threepids.user_id
WHERE medium = :medium AND canonical = :canonical;

-- name: accounts_after(user_id, count)
-- A page of accounts in the order of their user IDs, with the number of their contacts.
SELECT accounts.user_id, created_at, deactivated_at,
    (SELECT COUNT(*) FROM threepids WHERE threepids.user_id = accounts.user_id) AS contacts
FROM accounts WHERE accounts.user_id > :user_id ORDER BY accounts.user_id LIMIT :count;

-- name: set_password_hash(user_id, password_hash)!
-- A new password.
UPDATE accounts SET password_hash = CAST(:password_hash AS TEXT)
WHERE user_id = :user_id AND deactivated_at IS NULL;

-- name: insert_device(user_id, device_id, display_name, created_at)!
-- A device; one that is there already keeps its name and its age.
INSERT INTO devices (user_id, device_id, display_name, created_at)
VALUES (:user_id, :device_id, CAST(:display_name AS TEXT), :created_at)
ON CONFLICT (user_id, device_id) DO NOTHING;

-- name: delete_device(user_id, device_id)!
-- A device and, by the foreign key, its tokens.
DELETE FROM devices WHERE user_id = :user_id AND device_id = :device_id;

-- name: delete_devices(user_id)!
-- All devices of an account and, by the foreign key, their tokens.
DELETE FROM devices WHERE user_id = :user_id;

-- name: delete_other_devices(user_id, device_id)!
-- All devices of an account but one and, by the foreign key, their tokens.
DELETE FROM devices WHERE user_id = :user_id AND device_id <> :device_id;

-- name: devices(user_id)
-- The devices of an account, oldest first.
SELECT device_id, display_name, created_at FROM devices WHERE user_id = :user_id ORDER BY created_at, device_id;

-- name: rename_device(user_id, device_id, display_name)!
-- Another name for a device.
UPDATE devices SET display_name = CAST(:display_name AS TEXT) WHERE user_id = :user_id AND device_id = :device_id;

-- name: deactivate(user_id, now)!
-- An account ends: nobody can log in to it again, and its user ID stays taken.
UPDATE accounts SET deactivated_at = :now, password_hash = NULL WHERE user_id = :user_id AND deactivated_at IS NULL;

-- name: delete_openid_tokens(user_id)!
-- The OpenID tokens of an account.
DELETE FROM openid_tokens WHERE user_id = :user_id;

-- name: insert_access_token(token_hash, user_id, device_id, created_at, expires_at)!
-- An access token, as its hash.
INSERT INTO access_tokens (token_hash, user_id, device_id, created_at, expires_at)
VALUES (:token_hash, :user_id, :device_id, :created_at, CAST(:expires_at AS BIGINT));

-- name: delete_access_tokens_of_device(user_id, device_id)!
-- What a device held before it logged in again.
DELETE FROM access_tokens WHERE user_id = :user_id AND device_id = :device_id;

-- name: requester(token_hash, now)^
-- Whose unexpired access token this is.
SELECT user_id, device_id FROM access_tokens
WHERE token_hash = :token_hash AND (expires_at IS NULL OR expires_at > :now);

-- name: insert_openid_token(token_hash, user_id, expires_at)!
-- A token with which the account can show who it is.
INSERT INTO openid_tokens (token_hash, user_id, expires_at) VALUES (:token_hash, :user_id, :expires_at);

-- name: openid_user(token_hash, now)$
-- Whose unexpired OpenID token this is.
SELECT user_id FROM openid_tokens WHERE token_hash = :token_hash AND expires_at > :now;

-- name: delete_expired_openid_tokens(now)!
-- OpenID tokens that nobody can use any more.
DELETE FROM openid_tokens WHERE expires_at <= :now;
