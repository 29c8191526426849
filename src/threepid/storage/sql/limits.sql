-- name: take(key, now, skew, interval, latest, empty)!
-- Take a unit of a burst, which refills by one each interval; touches no row if it has none. With a unit left, it is full again at
-- `latest` or before, and an empty one at `empty`.
-- No burst is full later than its size allows. If the clock was set back (by more than `skew`, since the clocks of two hosts
-- differ), what was taken stays taken, counted from now, but one unit is left, because a rejected request writes nothing.
INSERT INTO limits (key, full_at, taken_at) VALUES (:key, :now + :interval, :now)
ON CONFLICT (key) DO UPDATE SET taken_at = excluded.taken_at, full_at = :interval + MAX(:now, CASE
    WHEN taken_at > :now + :skew THEN MIN(full_at - taken_at + :now, :latest)
    ELSE MIN(full_at, :latest) END)
WHERE full_at <= :latest OR taken_at > :now + :skew OR full_at > :skew + :empty;

-- name: take_on_postgresql(each, now, skew)
-- The same for all bursts at once, in the order of their keys: one that waited for a row would else hold what another one needs.
INSERT INTO limits (key, full_at, taken_at)
SELECT key, CAST(:now AS BIGINT) + CAST(value ->> 'interval' AS BIGINT), CAST(:now AS BIGINT)
FROM jsonb_each(CAST(:each AS JSONB))
ON CONFLICT (key) DO UPDATE SET taken_at = excluded.taken_at, full_at = excluded.full_at - excluded.taken_at + GREATEST(
    excluded.taken_at,
    CASE WHEN limits.taken_at > excluded.taken_at + CAST(:skew AS BIGINT)
        THEN LEAST(
            limits.full_at - limits.taken_at + excluded.taken_at,
            CAST(CAST(:each AS JSONB) -> excluded.key ->> 'latest' AS BIGINT)
        )
        ELSE LEAST(limits.full_at, CAST(CAST(:each AS JSONB) -> excluded.key ->> 'latest' AS BIGINT)) END
)
WHERE limits.full_at <= CAST(CAST(:each AS JSONB) -> excluded.key ->> 'latest' AS BIGINT)
    OR limits.taken_at > excluded.taken_at + CAST(:skew AS BIGINT)
    OR limits.full_at > CAST(:skew AS BIGINT) + CAST(CAST(:each AS JSONB) -> excluded.key ->> 'empty' AS BIGINT)
RETURNING key;

-- name: spend(key, now, interval, empty, all_but_empty)!
-- Take a unit of a burst even if none is left, down to an empty burst. Touches no row if the burst is nearly empty.
INSERT INTO limits (key, full_at, taken_at) VALUES (:key, CAST(:now AS BIGINT) + CAST(:interval AS BIGINT), :now)
ON CONFLICT (key) DO UPDATE SET taken_at = excluded.taken_at, full_at = CASE
    WHEN limits.full_at <= excluded.taken_at THEN excluded.full_at
    WHEN limits.full_at >= CAST(:empty AS BIGINT) - CAST(:interval AS BIGINT) THEN CAST(:empty AS BIGINT)
    ELSE limits.full_at + CAST(:interval AS BIGINT) END
WHERE limits.full_at NOT BETWEEN CAST(:all_but_empty AS BIGINT) AND CAST(:empty AS BIGINT);

-- name: states(keys)
-- When these bursts will be full again, and when a unit was last taken; `keys` is a JSON array.
SELECT key, full_at, taken_at FROM limits WHERE key IN (SELECT value FROM json_each(:keys));

-- name: states_on_postgresql(keys)
-- The same with PostgreSQL's JSON functions.
SELECT key, full_at, taken_at FROM limits WHERE key IN (SELECT jsonb_array_elements_text(CAST(:keys AS JSONB)));

-- name: page(after, now, count)^
-- The last of the next `count` bursts by key, NULL if there is none, and how many of them are full again. An index by time would
-- have to change whenever a unit is taken.
SELECT MAX(key) AS last, CAST(COALESCE(SUM(CASE WHEN full_at <= :now THEN 1 ELSE 0 END), 0) AS BIGINT) AS full_again
FROM (SELECT key, full_at FROM limits WHERE key > :after ORDER BY key LIMIT :count) AS page;

-- name: delete_full(after, last, now)!
-- Delete the bursts of a page that are full again.
DELETE FROM limits WHERE key > :after AND key <= :last AND full_at <= :now;

-- name: delete_full_on_postgresql(after, last, now)!
-- The same without those that a transaction is taking from: it may wait for one that this has deleted.
DELETE FROM limits WHERE key IN (
    SELECT key FROM limits WHERE key > :after AND key <= :last AND full_at <= :now FOR UPDATE SKIP LOCKED
);

-- name: give_back(key, interval)!
-- Give one taken unit back; touches no row if the burst was deleted.
UPDATE limits SET full_at = full_at - CAST(:interval AS BIGINT) WHERE key = :key;

-- name: count_text(prefix, day)!
-- Count an SMS to a number that begins with these digits.
INSERT INTO sms_prefixes (prefix, day, sent) VALUES (:prefix, :day, 1)
ON CONFLICT (prefix, day) DO UPDATE SET sent = sms_prefixes.sent + 1;

-- name: count_confirmed(prefix, day)!
-- Count an SMS whose code was entered.
INSERT INTO sms_prefixes (prefix, day, confirmed) VALUES (:prefix, :day, 1)
ON CONFLICT (prefix, day) DO UPDATE SET confirmed = sms_prefixes.confirmed + 1;

-- name: texts_of_prefix(prefix, since_day, day)^
-- Number of SMS to numbers that begin with these digits from one day to another, and number of codes that were entered.
SELECT CAST(COALESCE(SUM(sent), 0) AS BIGINT) AS sent, CAST(COALESCE(SUM(confirmed), 0) AS BIGINT) AS confirmed
FROM sms_prefixes WHERE prefix = :prefix AND day BETWEEN :since_day AND :day;

-- name: closed_prefixes(since_day, day, least_sent, confirmed_part)$
-- Number of prefixes with many SMS and too few confirmations from one day to another.
SELECT COUNT(*) FROM (
    SELECT prefix FROM sms_prefixes WHERE day BETWEEN :since_day AND :day GROUP BY prefix
    HAVING SUM(sent) >= :least_sent AND SUM(confirmed) * :confirmed_part < SUM(sent)
) AS closed;

-- name: delete_texts_outside(since_day, day, at_most)!
-- Delete the counts of old days, and of future days, which a wrong clock wrote.
DELETE FROM sms_prefixes WHERE (prefix, day) IN (
    SELECT prefix, day FROM sms_prefixes
    WHERE day NOT BETWEEN :since_day AND :day LIMIT :at_most
);

-- name: delete_keys(keys)!
-- Fill these bursts; `keys` is a JSON array.
DELETE FROM limits WHERE key IN (SELECT value FROM json_each(:keys));

-- name: delete_keys_on_postgresql(keys)!
-- The same with PostgreSQL's JSON functions.
DELETE FROM limits WHERE key IN (SELECT jsonb_array_elements_text(CAST(:keys AS JSONB)));
