-- name: is_used()$
-- Is there anything that this server has signed for somebody, or may have signed? An import of accounts signs nothing.
SELECT 1 WHERE EXISTS (SELECT 1 FROM associations) OR EXISTS (SELECT 1 FROM invites) OR EXISTS (SELECT 1 FROM identity_tokens)
    OR EXISTS (SELECT 1 FROM accounts WHERE user_id NOT IN (SELECT user_id FROM imported_accounts));

-- name: bound(addresses)
-- The associations of a JSON array of medium and canonical address.
SELECT a.medium, a.canonical, a.mxid, a.bound_at, a.not_before, a.not_after FROM json_each(:addresses) AS asked
CROSS JOIN associations AS a ON a.medium = asked.value ->> 0 AND a.canonical = asked.value ->> 1;

-- name: bound_on_postgresql(addresses)
-- The same with PostgreSQL's JSON functions. Locks the rows, so that nobody binds them before they are replaced.
SELECT a.medium, a.canonical, a.mxid, a.bound_at, a.not_before, a.not_after
FROM json_array_elements(CAST(:addresses AS JSON)) AS asked
JOIN associations AS a ON a.medium = asked.value ->> 0 AND a.canonical = asked.value ->> 1
ORDER BY a.medium, a.canonical FOR UPDATE OF a;

-- name: bind(rows)!
-- Insert or replace associations from a JSON array of arrays.
INSERT INTO associations (medium, canonical, mxid, bound_at, not_before, not_after)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(:rows) WHERE TRUE
ON CONFLICT (medium, canonical) DO UPDATE SET
    mxid = excluded.mxid, bound_at = excluded.bound_at,
    not_before = excluded.not_before, not_after = excluded.not_after;

-- name: bind_on_postgresql(rows)!
-- The same with PostgreSQL's JSON functions, whose values are text.
INSERT INTO associations (medium, canonical, mxid, bound_at, not_before, not_after)
SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS BIGINT), CAST(value ->> 4 AS BIGINT),
    CAST(value ->> 5 AS BIGINT)
FROM json_array_elements(CAST(:rows AS JSON))
ON CONFLICT (medium, canonical) DO UPDATE SET
    mxid = excluded.mxid, bound_at = excluded.bound_at,
    not_before = excluded.not_before, not_after = excluded.not_after;

-- name: deactivated(user_ids)
-- Those of a JSON array of user IDs whose account here is deactivated.
SELECT user_id FROM accounts WHERE deactivated_at IS NOT NULL AND user_id IN (SELECT value FROM json_each(:user_ids));

-- name: deactivated_on_postgresql(user_ids)
-- The same with PostgreSQL's JSON functions.
SELECT user_id FROM accounts WHERE deactivated_at IS NOT NULL
    AND user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)));

-- name: known(source, marks)
-- Those of a JSON array of marks that were imported before.
SELECT mark FROM imported_rows WHERE source = :source AND mark IN (SELECT value FROM json_each(:marks));

-- name: known_on_postgresql(source, marks)
-- The same with PostgreSQL's JSON functions.
SELECT mark FROM imported_rows WHERE source = :source
    AND mark IN (SELECT json_array_elements_text(CAST(:marks AS JSON)));

-- name: record(source, mark)!
-- Record that a row was imported; touches no row if it is known.
INSERT INTO imported_rows (source, mark) VALUES (:source, :mark) ON CONFLICT DO NOTHING;

-- name: count_recorded(source)$
-- Number of rows that were imported from a source.
SELECT COUNT(*) FROM imported_rows WHERE source = :source;

-- name: insert_token(token_hash, user_id, created_at, expires_at)!
-- Insert the hash of an access token of the identity server, as the user's newest; touches no row if there is such a token.
INSERT INTO identity_tokens (token_hash, user_id, number, created_at, expires_at)
VALUES (:token_hash, :user_id, (
    SELECT COALESCE(MAX(number), 0) + 1 FROM identity_tokens WHERE user_id = :user_id
), :created_at, CAST(:expires_at AS BIGINT))
ON CONFLICT (token_hash) DO NOTHING;

-- name: delete_surplus_tokens(user_ids, at_most)!
-- Delete all but the newest tokens of each user of a JSON array.
DELETE FROM identity_tokens WHERE token_hash IN (
    SELECT token_hash FROM (
        SELECT token_hash, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY number DESC) AS place FROM identity_tokens
        WHERE user_id IN (SELECT value FROM json_each(:user_ids))
    ) AS ranked WHERE place > :at_most
);

-- name: delete_surplus_tokens_on_postgresql(user_ids, at_most)!
-- The same with PostgreSQL's JSON functions.
DELETE FROM identity_tokens WHERE token_hash IN (
    SELECT token_hash FROM (
        SELECT token_hash, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY number DESC) AS place FROM identity_tokens
        WHERE user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)))
    ) AS ranked WHERE place > CAST(:at_most AS BIGINT)
);

-- name: insert_invite(invite_id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at)!
-- Insert an invitation; touches no row if there is one with this token.
INSERT INTO invites (id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at)
VALUES (:invite_id, :token, :medium, :canonical, :room_id, :sender, :public_key, :created_at, :expires_at)
ON CONFLICT (token) DO NOTHING;

-- name: insert_key(public_key, created_at, expires_at)!
-- Insert a short-lived key; touches no row if it is known.
INSERT INTO ephemeral_keys (public_key, created_at, expires_at) VALUES (:public_key, :created_at, :expires_at)
ON CONFLICT (public_key) DO NOTHING;

-- name: accept_terms(user_id, document, version, accepted_at)!
-- Record that a user accepted a version of a document; touches no row if they did before.
INSERT INTO accepted_terms (user_id, document, version, accepted_at)
VALUES (:user_id, :document, :version, :accepted_at)
ON CONFLICT (user_id, document, version) DO NOTHING;
