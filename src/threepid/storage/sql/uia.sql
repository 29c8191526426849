-- name: insert(id_hash, operation, subject, request_mac, request, flows, consumer, completed, now, expires_at, origin, early, user_id)!
-- A new authentication session.
INSERT INTO uia_sessions
    (id_hash, operation, subject, request_mac, request, flows, consumer, completed, created_at, used_at, expires_at,
     origin, early, user_id)
VALUES (:id_hash, :operation, :subject, :request_mac, :request, :flows, :consumer, :completed, :now, :now, :expires_at,
    :origin, :early, :user_id);

-- name: end_oldest(subject, but)!
-- The oldest open sessions of a subject end; the newest stay.
DELETE FROM uia_sessions WHERE id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE subject = :subject AND subject <> '' AND consumed_at IS NULL
    ORDER BY created_at DESC, id_hash LIMIT 1000 OFFSET CAST(:but AS BIGINT)
);

-- name: end_oldest_of_user(user_id, but)!
-- The oldest open sessions of all devices of a user end; the newest stay.
DELETE FROM uia_sessions WHERE id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE user_id = :user_id AND consumed_at IS NULL
    ORDER BY created_at DESC, id_hash LIMIT 1000 OFFSET CAST(:but AS BIGINT)
);

-- name: keep_early(id_hash, early)!
-- Keep an attempt that came too early; touches no row if the session is used up.
UPDATE uia_sessions SET early = :early WHERE id_hash = :id_hash AND consumed_at IS NULL;

-- name: get(id_hash, now, idle_since, ahead)^
-- One session, unless it has expired, lain idle for too long, or was used by a clock that was ahead.
SELECT operation, subject, request_mac, request, completed, flows, consumer, created_at, expires_at, consumed_at, result,
    origin, early
FROM uia_sessions WHERE id_hash = :id_hash AND expires_at > :now AND used_at > :idle_since
    AND used_at <= :ahead;

-- name: complete(id_hash, before, completed, now)!
-- A stage is done; touches no row if another stage was completed in between or the session is used up.
UPDATE uia_sessions SET completed = :completed, used_at = :now
WHERE id_hash = :id_hash AND completed = :before AND consumed_at IS NULL;

-- name: fill_in(id_hash, before, request_mac, request)!
-- The session is for another request; touches no row if it is not for the one before, or used up.
UPDATE uia_sessions SET request_mac = :request_mac, request = :request
WHERE id_hash = :id_hash AND request_mac = :before AND consumed_at IS NULL;

-- name: consume(id_hash, now, result)!
-- Use the session up and remember what came of it; touches no row if it was used before.
UPDATE uia_sessions SET consumed_at = :now, result = CAST(:result AS TEXT)
WHERE id_hash = :id_hash AND consumed_at IS NULL;

-- name: allow_repeats(id_hash, user_id, device_id, repeats)!
-- A registration is finished: how often its session may log in its device again.
INSERT INTO registration_repeats (id_hash, user_id, device_id, repeats_left)
VALUES (:id_hash, :user_id, :device_id, :repeats);

-- name: repeated_device(id_hash)$
-- The device that a finished registration opened, while there is that device.
SELECT device_id FROM registration_repeats WHERE id_hash = :id_hash;

-- name: take_repeat(id_hash)!
-- A finished registration logs in its device again; touches no row if it did so too often, or the device has ended.
UPDATE registration_repeats SET repeats_left = repeats_left - 1 WHERE id_hash = :id_hash AND repeats_left > 0;

-- name: delete(id_hash)!
-- A session that was misused ends.
DELETE FROM uia_sessions WHERE id_hash = :id_hash AND consumed_at IS NULL;

-- name: delete_of_user(user_id, prefix)!
-- The authentication sessions that devices of a user began (`prefix` is what their subjects begin with), and that which made the user.
DELETE FROM uia_sessions
WHERE result = CAST(:user_id AS TEXT) OR substr(subject, 1, length(CAST(:prefix AS TEXT))) = CAST(:prefix AS TEXT);

-- name: delete_expired(now, limit)!
-- Some of the sessions that are too old.
DELETE FROM uia_sessions WHERE expires_at <= :now AND id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit
);

-- name: delete_idle(idle_since, limit)!
-- Some of those that nobody went on with, or that are used up with nothing to remember.
DELETE FROM uia_sessions WHERE result IS NULL AND used_at <= :idle_since AND id_hash IN (
    SELECT id_hash FROM uia_sessions WHERE result IS NULL AND used_at <= :idle_since ORDER BY used_at LIMIT :limit
);
