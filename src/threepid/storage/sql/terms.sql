-- name: accept(user_id, document, version, now)!
-- Somebody accepts a version of a document; touches no row if they did before.
INSERT INTO accepted_terms (user_id, document, version, accepted_at) VALUES (:user_id, :document, :version, :now)
ON CONFLICT (user_id, document, version) DO NOTHING;

-- name: accepted(user_id)
-- What somebody accepted.
SELECT document, version, accepted_at FROM accepted_terms WHERE user_id = :user_id ORDER BY accepted_at, document, version;
