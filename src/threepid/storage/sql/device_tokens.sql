-- name: hold_device_of_refresh_token(token_hash)
-- Lock the row of the device that has a refresh token until the transaction ends, as `hold_device` in devices.sql does.
SELECT 1 FROM refresh_tokens
JOIN devices ON devices.user_id = refresh_tokens.user_id AND devices.device_id = refresh_tokens.device_id
WHERE token_hash = :token_hash;

-- name: hold_device_of_refresh_token_on_postgresql(token_hash)
-- The same with a row lock.
SELECT 1 FROM refresh_tokens
JOIN devices ON devices.user_id = refresh_tokens.user_id AND devices.device_id = refresh_tokens.device_id
WHERE token_hash = :token_hash FOR NO KEY UPDATE OF devices;

-- name: requester(token_hash)^
-- The user and device of an access token, even of an expired one, the refresh token that its first use spends, when the account
-- was locked, and the app of the OAuth 2.0 API that has the device.
SELECT user_id, device_id, expires_at, first_use_spends,
    (SELECT locked_at FROM accounts WHERE accounts.user_id = access_tokens.user_id) AS locked_at,
    (SELECT client_id FROM oauth_sessions
        WHERE oauth_sessions.user_id = access_tokens.user_id AND oauth_sessions.device_id = access_tokens.device_id
    ) AS client_id, CAST(NULL AS TEXT) AS contacts
FROM access_tokens WHERE token_hash = :token_hash;

-- name: introspected(token_hash)^
-- What `requester` gives, with the session of the device at its app.
SELECT access_tokens.user_id, access_tokens.device_id, expires_at, first_use_spends, locked_at, client_id,
    CAST(NULL AS TEXT) AS contacts, scope, admin_at
FROM access_tokens JOIN accounts ON accounts.user_id = access_tokens.user_id
LEFT JOIN oauth_sessions ON oauth_sessions.user_id = access_tokens.user_id
    AND oauth_sessions.device_id = access_tokens.device_id
WHERE token_hash = :token_hash;

-- name: requester_with_contacts(token_hash)^
-- The same with the account's contacts, as `of_user` in threepids.sql gives them.
SELECT user_id, device_id, expires_at, first_use_spends,
    (SELECT locked_at FROM accounts WHERE accounts.user_id = access_tokens.user_id) AS locked_at,
    (SELECT client_id FROM oauth_sessions
        WHERE oauth_sessions.user_id = access_tokens.user_id AND oauth_sessions.device_id = access_tokens.device_id
    ) AS client_id,
    (SELECT json_group_array(
        json_array(medium, canonical, address, validated_at, added_at) ORDER BY added_at, medium, canonical
    ) FROM threepids WHERE threepids.user_id = access_tokens.user_id) AS contacts
FROM access_tokens WHERE token_hash = :token_hash;

-- name: requester_with_contacts_on_postgresql(token_hash)^
-- The same with PostgreSQL's JSON functions.
SELECT user_id, device_id, expires_at, first_use_spends,
    (SELECT locked_at FROM accounts WHERE accounts.user_id = access_tokens.user_id) AS locked_at,
    (SELECT client_id FROM oauth_sessions
        WHERE oauth_sessions.user_id = access_tokens.user_id AND oauth_sessions.device_id = access_tokens.device_id
    ) AS client_id,
    (SELECT COALESCE(CAST(json_agg(
        json_build_array(medium, canonical, address, validated_at, added_at) ORDER BY added_at, medium, canonical
    ) AS TEXT), '[]') FROM threepids WHERE threepids.user_id = access_tokens.user_id) AS contacts
FROM access_tokens WHERE token_hash = :token_hash;

-- name: insert_access_token(token_hash, user_id, device_id, now, expires_at, refresh_hash, first_use_spends)!
-- Insert the hash of an access token.
INSERT INTO access_tokens (token_hash, user_id, device_id, created_at, expires_at, refresh_hash, first_use_spends)
VALUES (:token_hash, :user_id, :device_id, :now, CAST(:expires_at AS BIGINT), :refresh_hash,
    :first_use_spends);

-- name: delete_access_tokens_of_device(user_id, device_id)
-- Delete all access tokens of a device.
DELETE FROM access_tokens WHERE user_id = :user_id AND device_id = :device_id
RETURNING token_hash, user_id, device_id, created_at, CAST(NULL AS BIGINT) AS spent_at;

-- name: delete_refresh_tokens_of_device(user_id, device_id)
-- Delete all refresh tokens of a device, including spent ones.
DELETE FROM refresh_tokens WHERE user_id = :user_id AND device_id = :device_id
RETURNING token_hash, user_id, device_id, created_at, spent_at;

-- name: insert_ended_token(token_hash, user_id, device_id, now)!
-- Insert the hash of a token that ended before its device, as the newest of the device.
INSERT INTO ended_tokens (token_hash, user_id, device_id, number, ended_at)
VALUES (:token_hash, :user_id, :device_id, (
    SELECT COALESCE(MAX(number), 0) + 1 FROM ended_tokens WHERE user_id = :user_id AND device_id = :device_id
), :now);

-- name: delete_surplus_ended_tokens(user_id, device_id, at_most)!
-- Delete all but the newest ended tokens of a device.
DELETE FROM ended_tokens WHERE user_id = :user_id AND device_id = :device_id AND token_hash NOT IN (
    SELECT token_hash FROM ended_tokens WHERE user_id = :user_id AND device_id = :device_id
    ORDER BY number DESC LIMIT :at_most
);

-- name: has_ended(token_hash, since)$
-- Is this a token that ended after `since` and whose device still exists?
SELECT 1 FROM ended_tokens WHERE token_hash = :token_hash AND ended_at > :since;

-- name: delete_ended_tokens(before, at_most)!
-- Delete tokens that ended before this time.
DELETE FROM ended_tokens WHERE token_hash IN (
    SELECT token_hash FROM ended_tokens
    WHERE ended_at <= :before LIMIT :at_most
);

-- name: date_ended_tokens(now)!
-- Date tokens that ended while the clock was ahead back to `now`.
UPDATE ended_tokens SET ended_at = :now WHERE ended_at > :now;

-- name: insert_refresh_token(token_hash, user_id, device_id, parent_hash, now, expires_at, sealed_pair, sealed_for)!
-- Insert the hash of a refresh token.
INSERT INTO refresh_tokens (
    token_hash, user_id, device_id, parent_hash, created_at, expires_at, sealed_pair, sealed_for
)
VALUES (:token_hash, :user_id, :device_id, :parent_hash, :now, :expires_at, :sealed_pair, :sealed_for);

-- name: held_refresh_token(token_hash, sealed_for, after, before)^
-- One refresh token with all that decides about its exchange: its account and app, whether the first use of its pair is settled,
-- how many pairs were issued for it, and the sealed pair that this caller got for it between these times, unless that pair was
-- refreshed itself.
SELECT own.user_id, own.device_id, parent_hash, expires_at, spent_at, locked_at, admin_at, client_id, scope,
    parent_hash IS NULL OR NOT EXISTS (
        SELECT 1 FROM refresh_tokens AS parent WHERE parent.token_hash = own.parent_hash AND parent.spent_at IS NULL
    ) AND NOT EXISTS (
        SELECT 1 FROM access_tokens WHERE refresh_hash = own.token_hash AND first_use_spends IS NOT NULL
    ) AS is_settled,
    (SELECT COUNT(*) FROM refresh_tokens AS child WHERE child.parent_hash = own.token_hash) AS answers,
    (
        SELECT sealed_pair FROM refresh_tokens AS child
        WHERE child.parent_hash = own.token_hash AND sealed_for = :sealed_for
            AND child.created_at > :after AND child.created_at < :before
            AND sealed_pair IS NOT NULL AND child.spent_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM refresh_tokens AS grandchild WHERE grandchild.parent_hash = child.token_hash)
        ORDER BY child.created_at DESC LIMIT 1
    ) AS sealed_pair
FROM refresh_tokens AS own
JOIN accounts ON accounts.user_id = own.user_id
LEFT JOIN oauth_sessions ON oauth_sessions.user_id = own.user_id AND oauth_sessions.device_id = own.device_id
WHERE own.token_hash = :token_hash;

-- name: has_sealed_pairs(before, after)$
-- Is there a sealed pair that no caller can get again, because it was made before or after these times?
SELECT 1 FROM refresh_tokens
WHERE sealed_pair IS NOT NULL AND (created_at <= :before OR created_at >= :after) LIMIT 1;

-- name: forget_sealed_pairs(before, after)!
-- Erase the sealed pairs that no caller can get again, because they were made before or after these times.
UPDATE refresh_tokens SET sealed_pair = NULL, sealed_for = NULL
WHERE sealed_pair IS NOT NULL AND (created_at <= :before OR created_at >= :after);

-- name: delete_surplus_answers(parent_hash, at_most)
-- Delete all but the newest refresh tokens that were issued for one refresh token.
DELETE FROM refresh_tokens WHERE parent_hash = :parent_hash AND token_hash NOT IN (
    SELECT token_hash FROM refresh_tokens WHERE parent_hash = :parent_hash
    ORDER BY created_at DESC, token_hash LIMIT :at_most
)
RETURNING token_hash, user_id, device_id, created_at, spent_at;

-- name: refresh_token(token_hash)^
-- One refresh token.
SELECT user_id, device_id, parent_hash, expires_at, spent_at FROM refresh_tokens WHERE token_hash = :token_hash;

-- name: spend(token_hash, now)!
-- Spend a refresh token at the first use of a pair issued for it; touches no row if it was spent before.
UPDATE refresh_tokens SET spent_at = :now WHERE token_hash = :token_hash AND spent_at IS NULL;

-- name: confirm(refresh_hash, parent_hash)!
-- Let the access tokens that were issued with this refresh token spend nothing any more.
UPDATE access_tokens SET first_use_spends = NULL WHERE refresh_hash = :refresh_hash AND first_use_spends = :parent_hash;

-- name: delete_older_access_tokens(parent_hash)
-- Delete the access tokens that were issued with this refresh token.
DELETE FROM access_tokens WHERE refresh_hash = :parent_hash
RETURNING token_hash, user_id, device_id, created_at, CAST(NULL AS BIGINT) AS spent_at;

-- name: delete_replaced_access_tokens(parent_hash, refresh_hash)
-- Delete the access tokens that were issued with this refresh token, and those of the other pairs that were issued for it.
DELETE FROM access_tokens WHERE refresh_hash IN (
    SELECT :parent_hash
    UNION ALL
    SELECT token_hash FROM refresh_tokens WHERE parent_hash = :parent_hash AND token_hash <> :refresh_hash
)
RETURNING token_hash, user_id, device_id, created_at, CAST(NULL AS BIGINT) AS spent_at;

-- name: delete_sibling_refresh_tokens(parent_hash, refresh_hash)
-- Delete the refresh tokens of the other pairs of the same refresh.
DELETE FROM refresh_tokens WHERE parent_hash = :parent_hash AND token_hash <> :refresh_hash
RETURNING token_hash, user_id, device_id, created_at, spent_at;

-- name: access_token(token_hash)^
-- The user and device of an access token, the refresh token issued with it, and the one that its first use spends.
SELECT user_id, device_id, refresh_hash, first_use_spends FROM access_tokens WHERE token_hash = :token_hash;

-- name: is_unconfirmed(refresh_hash)$
-- Does an access token that was issued with this refresh token wait for its first use?
SELECT 1 FROM access_tokens WHERE refresh_hash = :refresh_hash AND first_use_spends IS NOT NULL LIMIT 1;

-- name: delete_refresh_token(token_hash)
-- Delete one refresh token.
DELETE FROM refresh_tokens WHERE token_hash = :token_hash
RETURNING token_hash, user_id, device_id, created_at, spent_at;

-- name: delete_spent_refresh_tokens(now, spent_before, at_most)!
-- Delete expired refresh tokens that were spent so long ago that their clients get no `soft_logout` any more.
DELETE FROM refresh_tokens WHERE token_hash IN (
    SELECT token_hash FROM refresh_tokens
    WHERE expires_at <= :now AND spent_at <= :spent_before LIMIT :at_most
);

-- name: devices_with_expired_tokens(now, spent_before, at_most)
-- Devices with expired tokens to delete. A refresh token stays while the first use of a pair issued for it can spend it, and an
-- access token stays with its refresh token.
SELECT DISTINCT user_id, device_id FROM (
    SELECT user_id, device_id FROM refresh_tokens
    WHERE expires_at <= :now AND (spent_at > :spent_before OR spent_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM refresh_tokens AS child WHERE child.parent_hash = refresh_tokens.token_hash
    ))
    UNION ALL SELECT user_id, device_id FROM access_tokens
    WHERE expires_at <= :now AND NOT EXISTS (
        SELECT 1 FROM refresh_tokens WHERE refresh_tokens.token_hash = access_tokens.refresh_hash
    )
) AS expired
ORDER BY user_id, device_id LIMIT :at_most;

-- name: delete_expired_refresh_tokens(user_id, device_id, now, spent_before)
-- Delete the expired refresh tokens of a device, except those that the first use of a pair issued for them can spend.
DELETE FROM refresh_tokens WHERE user_id = :user_id AND device_id = :device_id
    AND expires_at <= :now AND (spent_at > :spent_before OR spent_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM refresh_tokens AS child WHERE child.parent_hash = refresh_tokens.token_hash
    ))
RETURNING token_hash, user_id, device_id, created_at, spent_at;

-- name: delete_expired_access_tokens(user_id, device_id, now)
-- Delete the expired access tokens of a device whose refresh token no longer exists.
DELETE FROM access_tokens WHERE user_id = :user_id AND device_id = :device_id
    AND expires_at <= :now AND NOT EXISTS (
        SELECT 1 FROM refresh_tokens WHERE refresh_tokens.token_hash = access_tokens.refresh_hash
    )
RETURNING token_hash, user_id, device_id, created_at, CAST(NULL AS BIGINT) AS spent_at;
