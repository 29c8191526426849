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
