-- name: take(wanted, now)
-- Take one of each burst, all of which refill by one each interval; answers the keys of which there was one. `wanted` is JSON:
-- key, interval, and when the burst may be full again at the latest if one is to be left.
INSERT INTO limits (key, full_at)
SELECT value ->> 0, CAST(:now AS BIGINT) + (value ->> 1) FROM json_each(:wanted) WHERE TRUE
ON CONFLICT (key) DO UPDATE SET full_at = MAX(limits.full_at, CAST(:now AS BIGINT)) + excluded.full_at - CAST(:now AS BIGINT)
WHERE limits.full_at <= (SELECT value ->> 2 FROM json_each(:wanted) WHERE value ->> 0 = excluded.key)
RETURNING key;

-- name: take_on_postgresql(wanted, now)
-- The same with this engine's functions of JSON.
INSERT INTO limits (key, full_at)
SELECT value ->> 0, CAST(:now AS BIGINT) + CAST(value ->> 1 AS BIGINT) FROM jsonb_array_elements(CAST(:wanted AS JSONB))
ON CONFLICT (key) DO UPDATE SET
    full_at = GREATEST(limits.full_at, CAST(:now AS BIGINT)) + excluded.full_at - CAST(:now AS BIGINT)
WHERE limits.full_at <= (
    SELECT CAST(value ->> 2 AS BIGINT) FROM jsonb_array_elements(CAST(:wanted AS JSONB)) WHERE value ->> 0 = excluded.key
)
RETURNING key;

-- name: full_at(keys)
-- When everything of these bursts will be there again; `keys` is a JSON array.
SELECT key, full_at FROM limits WHERE key IN (SELECT value FROM json_each(:keys));

-- name: full_at_on_postgresql(keys)
-- The same with this engine's functions of JSON.
SELECT key, full_at FROM limits WHERE key IN (SELECT jsonb_array_elements_text(CAST(:keys AS JSONB)));

-- name: delete_full(now, limit)!
-- Some of the limits of which everything is there again.
DELETE FROM limits WHERE full_at <= :now AND key IN (
    SELECT key FROM limits WHERE full_at <= :now ORDER BY full_at LIMIT :limit
);

-- name: give_back(key, interval)!
-- Give one back of what was taken; touches no row if everything is there again.
UPDATE limits SET full_at = full_at - CAST(:interval AS BIGINT) WHERE key = :key;

-- name: count_text(prefix, day)!
-- A text was sent to a number that begins with these digits.
INSERT INTO sms_prefixes (prefix, day, sent) VALUES (:prefix, :day, 1)
ON CONFLICT (prefix, day) DO UPDATE SET sent = sms_prefixes.sent + 1;

-- name: count_confirmed(prefix, day)!
-- The code of a text came back.
INSERT INTO sms_prefixes (prefix, day, confirmed) VALUES (:prefix, :day, 1)
ON CONFLICT (prefix, day) DO UPDATE SET confirmed = sms_prefixes.confirmed + 1;

-- name: texts_of_prefix(prefix, since_day)^
-- How many texts went to numbers that begin with these digits, and how many of their codes came back.
SELECT CAST(COALESCE(SUM(sent), 0) AS BIGINT) AS sent, CAST(COALESCE(SUM(confirmed), 0) AS BIGINT) AS confirmed
FROM sms_prefixes WHERE prefix = :prefix AND day >= :since_day;

-- name: closed_prefixes(since_day, least_sent, confirmed_part)$
-- How many prefixes had many texts and too few confirmations.
SELECT COUNT(*) FROM (
    SELECT prefix FROM sms_prefixes WHERE day >= :since_day GROUP BY prefix
    HAVING SUM(sent) >= :least_sent AND SUM(confirmed) * :confirmed_part < SUM(sent)
) AS closed;

-- name: delete_texts_before(day)!
-- Forget the counts of long ago.
DELETE FROM sms_prefixes WHERE day < :day;
