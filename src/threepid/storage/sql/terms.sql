-- name: accept(user_id, document, version, now)!
-- Record that a user accepted a version of a document; touches no row if they did before.
INSERT INTO accepted_terms (user_id, document, version, accepted_at) VALUES (:user_id, :document, :version, :now)
ON CONFLICT (user_id, document, version) DO NOTHING;

-- name: accepted(user_id)
-- The versions of documents that a user accepted, oldest first.
SELECT document, version, accepted_at FROM accepted_terms WHERE user_id = :user_id ORDER BY accepted_at, document, version;

-- name: erase(user_id)!
-- Delete what a user accepted.
DELETE FROM accepted_terms WHERE user_id = :user_id;
