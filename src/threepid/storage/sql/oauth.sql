-- name: insert_client(client_id, metadata, now)!
-- Insert an app; touches no row if it is registered already.
INSERT INTO oauth_clients (client_id, metadata, created_at, used_at) VALUES (:client_id, :metadata, :now, :now)
ON CONFLICT (client_id) DO NOTHING;

-- name: client(client_id)^
-- One registered app.
SELECT client_id, metadata, created_at, used_at FROM oauth_clients WHERE client_id = :client_id;

-- name: use_client(client_id, now)!
-- Note that an app was registered again or used, and lock its row until the transaction ends; touches no row if there is none.
UPDATE oauth_clients SET used_at = :now WHERE client_id = :client_id;

-- name: use_clients_with_sessions(now, used_before, at_most)!
-- Note that apps that have sessions are used, without which the end of a long session would be the end of its app.
UPDATE oauth_clients SET used_at = :now WHERE client_id IN (
    SELECT client_id FROM oauth_clients AS used
    WHERE used_at <= :used_before
        AND EXISTS (SELECT 1 FROM oauth_sessions WHERE oauth_sessions.client_id = used.client_id)
    ORDER BY used_at LIMIT :at_most
);

-- name: delete_unused_clients(used_before, latest, at_most)!
-- Delete apps without sessions, codes and waiting devices that nobody used lately, or that a clock that was ahead wrote.
DELETE FROM oauth_clients WHERE client_id IN (
    SELECT client_id FROM oauth_clients AS unused
    WHERE used_at NOT BETWEEN CAST(:used_before AS BIGINT) + 1 AND CAST(:latest AS BIGINT)
        AND NOT EXISTS (SELECT 1 FROM oauth_sessions WHERE oauth_sessions.client_id = unused.client_id)
        AND NOT EXISTS (SELECT 1 FROM oauth_codes WHERE oauth_codes.client_id = unused.client_id)
        AND NOT EXISTS (SELECT 1 FROM oauth_device_grants WHERE oauth_device_grants.client_id = unused.client_id)
    ORDER BY used_at LIMIT :at_most
) AND used_at NOT BETWEEN CAST(:used_before AS BIGINT) + 1 AND CAST(:latest AS BIGINT);

-- name: open_session(user_id, device_id, client_id, scope, grant_hash, now)!
-- Bind a device to an app, in place of what the device was before.
INSERT INTO oauth_sessions (user_id, device_id, client_id, scope, grant_hash, created_at)
VALUES (:user_id, :device_id, :client_id, :scope, :grant_hash, :now)
ON CONFLICT (user_id, device_id) DO UPDATE SET
    client_id = excluded.client_id, scope = excluded.scope, grant_hash = excluded.grant_hash,
    created_at = excluded.created_at;

-- name: session(user_id, device_id)^
-- The session of a device.
SELECT client_id, scope, grant_hash, oauth_sessions.created_at, admin_at
FROM oauth_sessions JOIN accounts ON accounts.user_id = oauth_sessions.user_id
WHERE oauth_sessions.user_id = :user_id AND device_id = :device_id;

-- name: session_of_grant(user_id, grant_hash)$
-- The device of the session that a code opened.
SELECT device_id FROM oauth_sessions WHERE user_id = :user_id AND grant_hash = :grant_hash;

-- name: apps_of(user_id)
-- The devices of an account that are bound to an app, with the app's metadata.
SELECT device_id, oauth_sessions.client_id, metadata, scope, oauth_sessions.created_at FROM oauth_sessions
JOIN oauth_clients ON oauth_clients.client_id = oauth_sessions.client_id
WHERE user_id = :user_id;

-- name: insert_code(code_hash, client_id, user_id, session_id, redirect_uri, challenge, scope, expires_at)!
-- Insert the hash of an authorization code.
INSERT INTO oauth_codes (code_hash, client_id, user_id, session_id, redirect_uri, challenge, scope, expires_at)
VALUES (:code_hash, :client_id, :user_id, :session_id, :redirect_uri, :challenge, :scope, :expires_at);

-- name: release_code(code_hash)!
-- Let an authorization code be used again.
UPDATE oauth_codes SET used_at = NULL WHERE code_hash = :code_hash;

-- name: code(code_hash)^
-- One authorization code, even a used or expired one.
SELECT client_id, user_id, redirect_uri, challenge, scope, expires_at, used_at
FROM oauth_codes WHERE code_hash = :code_hash;

-- name: use_code(code_hash, now)!
-- Use an authorization code; touches no row if it was used before.
UPDATE oauth_codes SET used_at = :now WHERE code_hash = :code_hash AND used_at IS NULL;

-- name: delete_expired_codes(expired_before, latest, at_most)!
-- Delete codes whose second use need not be noticed any more, and those that a clock that was ahead issued.
DELETE FROM oauth_codes WHERE code_hash IN (
    SELECT code_hash FROM oauth_codes WHERE expires_at <= :expired_before
    UNION ALL SELECT code_hash FROM oauth_codes WHERE expires_at > :latest LIMIT :at_most
);

-- name: insert_device_grant(device_hash, user_code_hash, client_id, scope, origin, now, expires_at, poll_interval)!
-- Insert a device that waits for its owner; touches no row if the user code is taken.
INSERT INTO oauth_device_grants (
    device_hash, user_code_hash, client_id, scope, origin, created_at, expires_at, poll_interval
)
VALUES (:device_hash, :user_code_hash, :client_id, :scope, :origin, :now, :expires_at, :poll_interval)
ON CONFLICT (user_code_hash) DO NOTHING;

-- name: waiting_device(user_code_hash, now, latest)^
-- The device that waits for the decision about this user code.
SELECT device_hash, client_id, scope, origin, expires_at FROM oauth_device_grants
WHERE user_code_hash = :user_code_hash AND allowed_at IS NULL AND denied_at IS NULL
    AND expires_at > :now AND expires_at <= :latest;

-- name: decide(user_code_hash, user_id, allowed_at, denied_at, now)!
-- Record the owner's decision about a waiting device; touches no row if it does not wait.
UPDATE oauth_device_grants
SET user_id = :user_id, allowed_at = CAST(:allowed_at AS BIGINT), denied_at = CAST(:denied_at AS BIGINT)
WHERE user_code_hash = :user_code_hash AND allowed_at IS NULL AND denied_at IS NULL AND expires_at > :now;

-- name: poll(device_hash, now)!
-- Note when a device asked for the decision, and lock its row until the transaction ends.
UPDATE oauth_device_grants SET polled_at = :now WHERE device_hash = :device_hash;

-- name: device_grant(device_hash)^
-- What a device waits for, and the decision.
SELECT client_id, scope, expires_at, poll_interval, polled_at, user_id, allowed_at, denied_at, opened_at
FROM oauth_device_grants WHERE device_hash = :device_hash;

-- name: slow_down(device_hash, poll_interval)!
-- Make a device that asks too often wait longer.
UPDATE oauth_device_grants SET poll_interval = :poll_interval WHERE device_hash = :device_hash;

-- name: open_device_grant(device_hash, opened_at)!
-- Note when the session of a device was opened, or that it was not.
UPDATE oauth_device_grants SET opened_at = CAST(:opened_at AS BIGINT) WHERE device_hash = :device_hash;

-- name: delete_device_grant(device_hash)!
-- Delete a device's request.
DELETE FROM oauth_device_grants WHERE device_hash = :device_hash;

-- name: delete_expired_device_grants(expired_before, latest, at_most)!
-- Delete requests of devices that expired some time ago, and those that a clock that was ahead wrote.
DELETE FROM oauth_device_grants WHERE device_hash IN (
    SELECT device_hash FROM oauth_device_grants WHERE expires_at <= :expired_before
    UNION ALL SELECT device_hash FROM oauth_device_grants WHERE expires_at > :latest LIMIT :at_most
);
