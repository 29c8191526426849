-- name: get(user_id)^
-- The choices of an account.
SELECT language, muted FROM preferences WHERE user_id = :user_id;

-- name: set_language(user_id, language)!
-- Store the language of an account.
INSERT INTO preferences (user_id, language) VALUES (:user_id, :language)
ON CONFLICT (user_id) DO UPDATE SET language = excluded.language;

-- name: set_muted(user_id, muted)!
-- Store the notices that an account has switched off.
INSERT INTO preferences (user_id, muted) VALUES (:user_id, :muted)
ON CONFLICT (user_id) DO UPDATE SET muted = excluded.muted;

-- name: erase(user_id)!
-- Delete the choices of an account.
DELETE FROM preferences WHERE user_id = :user_id;
