-- name: insert(pepper, created_at)!
-- Insert a pepper whose hashes are yet to be made; touches no row if there is such a pepper already.
INSERT INTO peppers (number, pepper, created_at)
SELECT COALESCE(MAX(number), 0) + 1, CAST(:pepper AS TEXT), CAST(:created_at AS BIGINT) FROM peppers WHERE TRUE
ON CONFLICT DO NOTHING;

-- name: all()
-- All peppers, oldest first.
SELECT number, pepper, created_at, last_medium, last_canonical, hashed, current_at, answers_until, gone_at
FROM peppers ORDER BY number;

-- name: current()$
-- The current pepper, which clients use.
SELECT pepper FROM peppers WHERE current_at IS NOT NULL AND answers_until IS NULL;

-- name: answering(pepper, now)$
-- The number of a pepper with which lookups are answered.
SELECT number FROM peppers
WHERE pepper = :pepper AND current_at IS NOT NULL AND gone_at IS NULL
    AND (answers_until IS NULL OR answers_until > :now);

-- name: hold()$
-- Do nothing: SQLite has one writer at a time.
SELECT 1;

-- name: hold_on_postgresql()$
-- Keep rotations from beginning until this transaction ends: a rotation that it does not see would miss what it binds.
SELECT number FROM peppers WHERE current_at IS NOT NULL AND answers_until IS NULL FOR SHARE;

-- name: hold_alone()$
-- Do nothing: SQLite has one writer at a time.
SELECT 1;

-- name: hold_alone_on_postgresql()$
-- Wait until all transactions have ended that bind or unbind without knowing of a new pepper.
SELECT number FROM peppers WHERE current_at IS NOT NULL AND answers_until IS NULL FOR UPDATE;

-- name: claim(number, worker, now, leased_until, ahead)!
-- Take or keep the lease on the work on a pepper; touches no row if another worker has it.
UPDATE peppers SET worker = :worker, leased_until = :leased_until
WHERE number = :number AND (worker = :worker OR leased_until <= :now OR leased_until > :ahead);

-- name: next_associations(medium, canonical, count)
-- The associations after this one, in order of address.
SELECT medium, canonical, mxid, not_after FROM associations
WHERE (medium, canonical) > (:medium, :canonical) ORDER BY medium, canonical LIMIT :count;

-- name: next_associations_on_postgresql(medium, canonical, count)
-- The same, with row locks, so that they do not change until their hashes are written.
SELECT medium, canonical, mxid, not_after FROM associations
WHERE (medium, canonical) > (:medium, :canonical) ORDER BY medium, canonical LIMIT :count FOR SHARE;

-- name: hashed_until(number, medium, canonical, count)!
-- Record that the hashes of `count` more associations were made, up to this one.
UPDATE peppers SET last_medium = :medium, last_canonical = :canonical, hashed = hashed + CAST(:count AS BIGINT)
WHERE number = :number AND current_at IS NULL;

-- name: retire(answers_until)!
-- Let the current pepper answer until `answers_until`; touches no row if there is none yet.
UPDATE peppers SET answers_until = :answers_until WHERE current_at IS NOT NULL AND answers_until IS NULL;

-- name: make_current(number, now)!
-- Make a pepper current, once all its hashes are made.
UPDATE peppers SET current_at = :now, worker = '', leased_until = 0 WHERE number = :number AND current_at IS NULL;

-- name: end(number, now)!
-- Stop answering lookups with this pepper.
UPDATE peppers SET gone_at = :now WHERE number = :number AND gone_at IS NULL;

-- name: delete(number)!
-- Delete an ended pepper that has no hashes left.
DELETE FROM peppers WHERE number = :number AND gone_at IS NOT NULL;

-- name: rewrite_hash(key, hash, mxid, not_after)!
-- Update the hash of an address that was bound again; the last proof wins. Touches no row if the hash is not there yet.
UPDATE association_hashes SET mxid = :mxid, not_after = :not_after
WHERE key BETWEEN :key AND CAST(:key AS BIGINT) + 3 AND hash = :hash;

-- name: add_hash(key, pepper, hash, mxid, not_after)!
-- Insert the hash of a bound address; touches no row if another hash has this place.
INSERT INTO association_hashes (key, pepper, hash, mxid, not_after) VALUES (:key, :pepper, :hash, :mxid, :not_after)
ON CONFLICT DO NOTHING;

-- name: erase_hash(key, hash)!
-- Delete the hash of an unbound address.
DELETE FROM association_hashes WHERE key BETWEEN :key AND CAST(:key AS BIGINT) + 3 AND hash = :hash;

-- name: add_hashes(pepper, rows)!
-- Insert many hashes from a JSON array of arrays; leaves out those whose place is taken.
INSERT INTO association_hashes (key, pepper, hash, mxid, not_after)
SELECT value ->> 0, CAST(:pepper AS BIGINT), value ->> 1, value ->> 2, value ->> 3 FROM json_each(:rows) WHERE TRUE
ON CONFLICT DO NOTHING;

-- name: add_hashes_on_postgresql(pepper, rows)!
-- The same with PostgreSQL's JSON function, whose values are text.
INSERT INTO association_hashes (key, pepper, hash, mxid, not_after)
SELECT CAST(value ->> 0 AS BIGINT), CAST(:pepper AS BIGINT), value ->> 1, value ->> 2, CAST(value ->> 3 AS BIGINT)
FROM json_array_elements(CAST(:rows AS JSON)) ON CONFLICT DO NOTHING;

-- name: add_spelling(medium, canonical, spelling)!
-- Insert another spelling of a bound address; touches no row if it is known.
INSERT INTO association_spellings (medium, canonical, spelling) VALUES (:medium, :canonical, :spelling)
ON CONFLICT DO NOTHING;

-- name: spellings(medium, canonical)
-- The other spellings of an address.
SELECT medium, canonical, spelling FROM association_spellings WHERE medium = :medium AND canonical = :canonical;

-- name: spellings_between(after_medium, after_canonical, medium, canonical)
-- The other spellings of the bound addresses after one address and up to another one.
SELECT s.medium, s.canonical, s.spelling FROM association_spellings AS s
JOIN associations AS a ON a.medium = s.medium AND a.canonical = s.canonical
WHERE (s.medium, s.canonical) > (:after_medium, :after_canonical) AND (s.medium, s.canonical) <= (:medium, :canonical);

-- name: delete_spellings(medium, canonical)!
-- Delete the other spellings of an unbound address.
DELETE FROM association_spellings WHERE medium = :medium AND canonical = :canonical;

-- name: nth_key(pepper, first, last, count)$
-- The key of the hash of a pepper that comes after `count` others.
SELECT key FROM association_hashes WHERE key BETWEEN :first AND :last AND pepper = :pepper
ORDER BY key LIMIT 1 OFFSET :count;

-- name: delete_hashes(pepper, first, last)!
-- Delete the hashes of a pepper between these keys.
DELETE FROM association_hashes WHERE key BETWEEN :first AND :last AND pepper = :pepper;

-- name: by_hashes(pepper, keys, now)$
-- A JSON object of hash and user ID, for all hashes at the places of the wanted keys.
-- One row, because each row releases the GIL. A join with an array takes a third of the time of a query for each hash.
SELECT json_group_object(h.hash, h.mxid) FROM carray(:keys) AS asked
CROSS JOIN association_hashes AS h ON h.key BETWEEN asked.value AND asked.value + 3
WHERE h.pepper = :pepper AND h.not_after > :now;

-- name: by_hashes_on_postgresql(pepper, keys, now)$
-- The same with a PostgreSQL array. The LIMIT tells the planner how few rows a range has; without it, it would expect so many
-- that it scans the whole table.
SELECT CAST(COALESCE(json_object_agg(h.hash, h.mxid), '{}') AS TEXT)
FROM unnest(CAST(:keys AS BIGINT[])) AS asked (key) CROSS JOIN LATERAL (
    SELECT pepper, hash, mxid, not_after FROM association_hashes WHERE key BETWEEN asked.key AND asked.key + 3
    ORDER BY key LIMIT 4
) AS h
WHERE h.pepper = :pepper AND h.not_after > :now;
