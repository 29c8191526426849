-- name: take(key, now, interval, burst)!
-- Take one of a burst that refills by one each interval; touches no row if none is left.
INSERT INTO limits (key, full_at) VALUES (:key, CAST(:now AS BIGINT) + CAST(:interval AS BIGINT))
ON CONFLICT (key) DO UPDATE SET
    full_at = (CASE WHEN limits.full_at > CAST(:now AS BIGINT) THEN limits.full_at ELSE CAST(:now AS BIGINT) END)
        + CAST(:interval AS BIGINT)
WHERE limits.full_at <= CAST(:now AS BIGINT) + CAST(:interval AS BIGINT) * (CAST(:burst AS BIGINT) - 1);

-- name: full_at(key)$
-- When everything of the burst will be there again.
SELECT full_at FROM limits WHERE key = :key;

-- name: delete_full(now)!
-- Limits of which everything is there again.
DELETE FROM limits WHERE full_at <= :now;

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
