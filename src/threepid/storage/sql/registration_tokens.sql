-- name: insert(token_hash, hint, uses_allowed, created_at, expires_at)!
-- Insert a token; touches no row if the token or the hint is taken.
INSERT INTO registration_tokens (token_hash, hint, uses_allowed, created_at, expires_at)
VALUES (:token_hash, :hint, CAST(:uses_allowed AS BIGINT), :created_at, CAST(:expires_at AS BIGINT))
ON CONFLICT DO NOTHING;

-- name: get(token_hash)^
-- One token.
SELECT token_hash, hint, uses_allowed, used, created_at, expires_at FROM registration_tokens
WHERE token_hash = :token_hash;

-- name: all_tokens()
-- All tokens, oldest first.
SELECT token_hash, hint, uses_allowed, used, created_at, expires_at FROM registration_tokens
ORDER BY created_at, hint;

-- name: named(token_hash, hint)
-- The tokens that an operator may mean by a name: those with this hash or this hint.
SELECT token_hash, hint, uses_allowed, used, created_at, expires_at FROM registration_tokens
WHERE token_hash = :token_hash OR hint = :hint;

-- name: use(token_hash, now)!
-- Count a registration with a token; touches no row if the token is used up or expired.
UPDATE registration_tokens SET used = used + 1
WHERE token_hash = :token_hash
    AND (uses_allowed IS NULL OR used < uses_allowed)
    AND (expires_at IS NULL OR expires_at > :now);

-- name: delete(token_hash)!
-- Delete a token.
DELETE FROM registration_tokens WHERE token_hash = :token_hash;
