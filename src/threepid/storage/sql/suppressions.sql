-- name: record(canonical, kind, status, message_id, now)!
-- Record that an address gets no mails; an address that is recorded already keeps the time of its first report.
INSERT INTO suppressions (canonical, kind, status, message_id, first_at, latest_at)
VALUES (:canonical, :kind, :status, :message_id, :now, :now)
ON CONFLICT (canonical) DO UPDATE
SET kind = excluded.kind, status = excluded.status, message_id = excluded.message_id, latest_at = excluded.latest_at;

-- name: get(canonical)^
-- The record of one address.
SELECT canonical, kind, status, message_id, first_at, latest_at FROM suppressions WHERE canonical = :canonical;

-- name: listed(after, count)
-- Records in the order of their addresses.
SELECT canonical, kind, status, message_id, first_at, latest_at FROM suppressions
WHERE canonical > :after ORDER BY canonical LIMIT :count;

-- name: delete(canonical)!
-- Delete the record of an address.
DELETE FROM suppressions WHERE canonical = :canonical;

-- name: delete_before(before, at_most)!
-- Delete records whose latest report is older than this time.
DELETE FROM suppressions WHERE canonical IN (
    SELECT canonical FROM suppressions WHERE latest_at < :before LIMIT :at_most
);

-- name: counts()
-- Number of addresses by kind.
SELECT kind, COUNT(*) AS count FROM suppressions GROUP BY kind;
