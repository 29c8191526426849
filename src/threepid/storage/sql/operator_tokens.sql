-- name: insert(token_hash, name, scopes, created_at, expires_at)!
-- Insert a token; touches no row if the name is taken.
INSERT INTO operator_tokens (token_hash, name, scopes, created_at, expires_at)
VALUES (:token_hash, :name, :scopes, :created_at, :expires_at)
ON CONFLICT DO NOTHING;

-- name: get(token_hash)^
-- One token, even an expired one.
SELECT name, scopes, created_at, expires_at, used_at FROM operator_tokens WHERE token_hash = :token_hash;

-- name: all_tokens()
-- All tokens in the order of their names.
SELECT name, scopes, created_at, expires_at, used_at FROM operator_tokens ORDER BY name;

-- name: used(name, now)!
-- Record that a token was used.
UPDATE operator_tokens SET used_at = :now WHERE name = :name;

-- name: delete(name)!
-- Delete a token.
DELETE FROM operator_tokens WHERE name = :name;
