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
