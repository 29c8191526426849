-- name: insert(entry_id, at, kind, user_id, caller_kind, caller, origin, details)!
-- Append an entry, as the newest of its account.
INSERT INTO audit_log (entry_id, number, at, kind, user_id, caller_kind, caller, origin, details)
VALUES (:entry_id, (SELECT COALESCE(MAX(number), 0) + 1 FROM audit_log WHERE user_id = :user_id),
    :at, :kind, :user_id, :caller_kind, :caller, :origin, :details);

-- name: insert_bounded(entry_id, at, kind, user_id, caller_kind, caller, origin, details, since, at_most)!
-- Append an entry about an existing account, unless it has so many of this kind that are younger than `since`. One statement for
-- accounts that exist and those that do not, so that its time does not tell them apart.
INSERT INTO audit_log (entry_id, number, at, kind, user_id, caller_kind, caller, origin, details)
SELECT CAST(:entry_id AS TEXT), (SELECT COALESCE(MAX(number), 0) + 1 FROM audit_log WHERE user_id = :user_id),
    CAST(:at AS BIGINT), CAST(:kind AS TEXT), user_id, CAST(:caller_kind AS TEXT),
    CAST(:caller AS TEXT), CAST(:origin AS TEXT), CAST(:details AS TEXT)
FROM accounts WHERE user_id = :user_id AND (
    SELECT COUNT(*) FROM (
        SELECT 1 FROM audit_log WHERE user_id = :user_id AND kind = :kind AND at > :since LIMIT :at_most
    ) AS earlier
) < :at_most;

-- name: newest(user_id, count)
-- The newest entries about an account.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE user_id = :user_id ORDER BY number DESC, entry_id DESC LIMIT :count;

-- name: older(user_id, before, count)
-- The newest entries about an account that are older than the entry `before`.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE user_id = :user_id AND (number, entry_id) < (
    SELECT number, entry_id FROM audit_log WHERE entry_id = :before AND user_id = :user_id
) ORDER BY number DESC, entry_id DESC LIMIT :count;

-- name: delete_of_user(user_id)!
-- Delete the entries about an account.
DELETE FROM audit_log WHERE user_id = :user_id;

-- name: delete_before(before, at_most)!
-- Delete entries that are older than this time.
DELETE FROM audit_log WHERE entry_id IN (SELECT entry_id FROM audit_log WHERE at < :before LIMIT :at_most);

-- name: get(entry_id)^
-- One entry.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log WHERE entry_id = :entry_id;

-- name: oldest(after_at, after_id, until, count)
-- Entries about all accounts from after a place in the log and before `until`, oldest first.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE (at, entry_id) > (:after_at, :after_id) AND at < :until
ORDER BY at, entry_id LIMIT :count;

-- name: oldest_of_kind(after_at, after_id, until, kind, count)
-- The same of one kind.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE kind = :kind AND (at, entry_id) > (:after_at, :after_id) AND at < :until
ORDER BY at, entry_id LIMIT :count;

-- name: oldest_of_user(user_id, after_id, since, until, kind, count)
-- The same about one account, after the entry `after_id`, '' for the beginning. Its entries are found in the order of their numbers.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE user_id = :user_id AND (number, entry_id) > (
    COALESCE((SELECT number FROM audit_log WHERE entry_id = :after_id AND user_id = :user_id), 0), CAST(:after_id AS TEXT)
) AND at >= :since AND at < :until AND (CAST(:kind AS TEXT) = '' OR kind = :kind)
ORDER BY number, entry_id LIMIT :count;

-- name: add_to_sum(minute, kind, network, count)!
-- Add events to the sum of their minute.
INSERT INTO audit_sums (minute, kind, network, count) VALUES (:minute, :kind, :network, :count)
ON CONFLICT (minute, kind, network) DO UPDATE SET count = audit_sums.count + excluded.count;

-- name: sums(after_minute, after_kind, after_network, until, only, count)
-- Sums of the minutes before `until`, oldest first: of one kind, '' for all.
SELECT minute, kind, network, count FROM audit_sums
WHERE (minute, kind, network) > (:after_minute, :after_kind, :after_network) AND minute < :until
    AND (CAST(:only AS TEXT) = '' OR kind = :only)
ORDER BY minute, kind, network LIMIT :count;

-- name: delete_sums_before(minute, at_most)!
-- Delete sums that are older than this minute.
DELETE FROM audit_sums WHERE (minute, kind, network) IN (
    SELECT minute, kind, network FROM audit_sums WHERE minute < :minute LIMIT :at_most
);

-- name: recent(before_at, before_id, since, count)
-- Entries about all accounts from `since` on and before a place in the log, newest first.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE (at, entry_id) < (:before_at, :before_id) AND at >= :since
ORDER BY at DESC, entry_id DESC LIMIT :count;

-- name: recent_of_kind(before_at, before_id, since, kind, count)
-- The same of one kind.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE kind = :kind AND (at, entry_id) < (:before_at, :before_id) AND at >= :since
ORDER BY at DESC, entry_id DESC LIMIT :count;

-- name: recent_of_user(user_id, before_id, since, until, kind, count)
-- The same about one account, before the entry `before_id`, '' for the end.
SELECT entry_id, at, kind, user_id, caller_kind, caller, origin, details FROM audit_log
WHERE user_id = :user_id AND (number, entry_id) < (
    COALESCE((SELECT number FROM audit_log WHERE entry_id = :before_id AND user_id = :user_id), 9223372036854775807),
    CAST(:before_id AS TEXT)
) AND at >= :since AND at < :until AND (CAST(:kind AS TEXT) = '' OR kind = :kind)
ORDER BY number DESC, entry_id DESC LIMIT :count;
