-- name: hold_device(user_id, device_id)$
-- Lock the row of a device until the transaction ends. On SQLite, a transaction that writes has locked the whole file.
SELECT 1 FROM devices WHERE user_id = :user_id AND device_id = :device_id;

-- name: hold_device_on_postgresql(user_id, device_id)$
-- The same with a row lock, as an UPDATE takes it.
SELECT 1 FROM devices WHERE user_id = :user_id AND device_id = :device_id FOR NO KEY UPDATE;

-- name: upsert(user_id, device_id, display_name, now, seen_from, network, user_agent)!
-- Insert a device, or update an existing one, which keeps its name.
INSERT INTO devices (user_id, device_id, display_name, created_at, seen_at, seen_from, network, user_agent)
VALUES (:user_id, :device_id, CAST(:display_name AS TEXT), :now, :now, :seen_from, CAST(:network AS TEXT), :user_agent)
ON CONFLICT (user_id, device_id) DO UPDATE SET
    seen_at = excluded.seen_at, seen_from = excluded.seen_from, network = excluded.network,
    user_agent = excluded.user_agent;

-- name: seen(user_id, device_id, now, seen_from, network, user_agent)!
-- Update when, from where and by which user agent a device was last seen.
UPDATE devices SET seen_at = :now, seen_from = :seen_from, network = CAST(:network AS TEXT), user_agent = :user_agent
WHERE user_id = :user_id AND device_id = :device_id;

-- name: network_from(user_id, network)$
-- The first network, from this one on, in which a device of the account was last seen. For a plain `=` with a LIMIT, PostgreSQL
-- may scan the table. The ORDER BY makes it use the index, in one step, however many devices there are.
SELECT network FROM devices WHERE user_id = :user_id AND network >= :network ORDER BY network LIMIT 1;

-- name: count_devices(user_id, most)$
-- Number of devices of an account, counted up to `most`.
SELECT COUNT(*) FROM (SELECT 1 FROM devices WHERE user_id = :user_id LIMIT :most) AS counted;

-- name: delete_device(user_id, device_id)!
-- Delete a device and, by the foreign key, its tokens.
DELETE FROM devices WHERE user_id = :user_id AND device_id = :device_id;

-- name: delete_devices(user_id)!
-- Delete all devices of an account and, by the foreign key, their tokens.
DELETE FROM devices WHERE user_id = :user_id;

-- name: delete_other_devices(user_id, device_id)!
-- Delete all devices of an account but one and, by the foreign key, their tokens.
DELETE FROM devices WHERE user_id = :user_id AND device_id <> :device_id;

-- name: devices(user_id, most)
-- The devices of an account, oldest first; of more than `most`, the first by device ID, so that the rest is not read.
SELECT device_id, display_name, created_at, seen_at, seen_from, user_agent FROM (
    SELECT device_id, display_name, created_at, seen_at, seen_from, user_agent FROM devices
    WHERE user_id = :user_id ORDER BY device_id LIMIT :most
) AS listed ORDER BY created_at, device_id;

-- name: device_ids(user_id)
-- The IDs of all devices of an account.
SELECT user_id, device_id FROM devices WHERE user_id = :user_id ORDER BY device_id;

-- name: device(user_id, device_id)^
-- One device of an account.
SELECT device_id, display_name, created_at, seen_at, seen_from, user_agent FROM devices
WHERE user_id = :user_id AND device_id = :device_id;

-- name: rename_device(user_id, device_id, display_name)!
-- Set the display name of a device.
UPDATE devices SET display_name = CAST(:display_name AS TEXT) WHERE user_id = :user_id AND device_id = :device_id;

-- name: delete_oauth_codes(user_id)!
-- Delete the authorization codes of an account: each could still open a session.
DELETE FROM oauth_codes WHERE user_id = :user_id;

-- name: delete_oauth_device_grants(user_id)!
-- Delete the waiting devices that an account has allowed or denied: each could still open a session.
DELETE FROM oauth_device_grants WHERE user_id = :user_id;

-- name: end_oauth_session(user_id, device_id)!
-- Unbind a device from its app; touches no row if it has none.
DELETE FROM oauth_sessions WHERE user_id = :user_id AND device_id = :device_id;
