-- name: insert(id_hash, operation, subject, request_mac, request, flows, consumer, completed, now, expires_at, origin, early, user_id)!
-- Insert an authentication session.
INSERT INTO uia_sessions
    (id_hash, operation, subject, request_mac, request, flows, consumer, completed, created_at, used_at, expires_at,
     origin, early, user_id)
VALUES (:id_hash, :operation, :subject, :request_mac, :request, :flows, :consumer, :completed, :now, :now, :expires_at,
    :origin, :early, :user_id);

-- name: end_oldest(subject, but)!
-- Delete the oldest open sessions of a subject; the newest `but` stay.
DELETE FROM uia_sessions WHERE id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE subject = :subject AND subject <> '' AND consumed_at IS NULL
    ORDER BY created_at DESC, id_hash LIMIT 1000 OFFSET CAST(:but AS BIGINT)
);

-- name: end_oldest_of_user(user_id, but)!
-- Delete the oldest open sessions of all devices of a user; the newest `but` stay.
DELETE FROM uia_sessions WHERE id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE user_id = :user_id AND consumed_at IS NULL
    ORDER BY created_at DESC, id_hash LIMIT 1000 OFFSET CAST(:but AS BIGINT)
);

-- name: keep_early(id_hash, early)!
-- Store an attempt that came too early; touches no row if the session is used up.
UPDATE uia_sessions SET early = :early WHERE id_hash = :id_hash AND consumed_at IS NULL;

-- name: get(id_hash, now, idle_since, ahead)^
-- One session, unless it has expired, was idle for too long, or was last used by a clock that was ahead.
SELECT operation, subject, request_mac, request, completed, flows, consumer, created_at, expires_at, consumed_at, result,
    origin, early
FROM uia_sessions WHERE id_hash = :id_hash AND expires_at > :now AND used_at > :idle_since
    AND used_at <= :ahead;

-- name: complete(id_hash, before, completed, now)!
-- Record a completed stage; touches no row if another stage was completed meanwhile or the session is used up.
UPDATE uia_sessions SET completed = :completed, used_at = :now
WHERE id_hash = :id_hash AND completed = :before AND consumed_at IS NULL;

-- name: fill_in(id_hash, before, request_mac, request)!
-- Replace the request of a session; touches no row if the request has changed meanwhile or the session is used up.
UPDATE uia_sessions SET request_mac = :request_mac, request = :request
WHERE id_hash = :id_hash AND request_mac = :before AND consumed_at IS NULL;

-- name: consume(id_hash, now, result)!
-- Use up a session and store its result; touches no row if it was used up before.
UPDATE uia_sessions SET consumed_at = :now, result = CAST(:result AS TEXT)
WHERE id_hash = :id_hash AND consumed_at IS NULL;

-- name: allow_repeats(id_hash, user_id, device_id, repeats)!
-- Store how often the session of a finished registration may log in its device again.
INSERT INTO registration_repeats (id_hash, user_id, device_id, repeats_left)
VALUES (:id_hash, :user_id, :device_id, :repeats);

-- name: repeated_device(id_hash)$
-- The device that a finished registration opened, while the device exists.
SELECT device_id FROM registration_repeats WHERE id_hash = :id_hash;

-- name: take_repeat(id_hash)!
-- Count a repeated login of a finished registration; touches no row if none is left or the device was deleted.
UPDATE registration_repeats SET repeats_left = repeats_left - 1 WHERE id_hash = :id_hash AND repeats_left > 0;

-- name: delete(id_hash)!
-- Delete a misused session, unless it is used up.
DELETE FROM uia_sessions WHERE id_hash = :id_hash AND consumed_at IS NULL;

-- name: delete_of_user(user_id)!
-- Delete the sessions that devices of a user began, and the one that registered the user.
DELETE FROM uia_sessions WHERE user_id = :user_id OR result = :user_id;

-- name: delete_expired(now, limit)!
-- Delete some of the expired sessions.
DELETE FROM uia_sessions WHERE expires_at <= :now AND id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
);

-- name: delete_idle(idle_since, limit)!
-- Delete some of the idle sessions that have no stored result.
DELETE FROM uia_sessions WHERE result IS NULL AND used_at <= :idle_since AND id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE result IS NULL AND used_at <= :idle_since ORDER BY used_at LIMIT :limit
);
