-- name: get(user_id)^
-- The profile of an active account, which may be empty; no row for any other user ID.
SELECT displayname, avatar_url FROM accounts LEFT JOIN profiles ON profiles.user_id = accounts.user_id
WHERE accounts.user_id = :user_id AND deactivated_at IS NULL;

-- name: set_displayname(user_id, displayname)!
-- Set the display name of an account; touches no row if the account is deactivated.
INSERT INTO profiles (user_id, displayname)
SELECT user_id, CAST(:displayname AS TEXT) FROM accounts WHERE user_id = :user_id AND deactivated_at IS NULL
ON CONFLICT (user_id) DO UPDATE SET displayname = excluded.displayname;

-- name: set_avatar_url(user_id, avatar_url)!
-- Set the avatar of an account; touches no row if the account is deactivated.
INSERT INTO profiles (user_id, avatar_url)
SELECT user_id, CAST(:avatar_url AS TEXT) FROM accounts WHERE user_id = :user_id AND deactivated_at IS NULL
ON CONFLICT (user_id) DO UPDATE SET avatar_url = excluded.avatar_url;

-- name: erase(user_id)!
-- Delete a profile.
DELETE FROM profiles WHERE user_id = :user_id;
