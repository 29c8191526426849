-- name: of_account(user_id)
-- Number of rows of each table that name an account, in any of its columns.
SELECT 'access_tokens' AS table_name, COUNT(*) AS count FROM access_tokens WHERE user_id = :user_id
UNION ALL SELECT 'accounts' AS table_name, COUNT(*) AS count FROM accounts WHERE user_id = :user_id
UNION ALL SELECT 'accepted_terms' AS table_name, COUNT(*) AS count FROM accepted_terms WHERE user_id = :user_id
UNION ALL SELECT 'association_hashes' AS table_name, COUNT(*) AS count FROM association_hashes WHERE mxid = :user_id
UNION ALL SELECT 'associations' AS table_name, COUNT(*) AS count FROM associations WHERE mxid = :user_id
UNION ALL SELECT 'audit_log' AS table_name, COUNT(*) AS count FROM audit_log WHERE user_id = :user_id
UNION ALL SELECT 'devices' AS table_name, COUNT(*) AS count FROM devices WHERE user_id = :user_id
UNION ALL SELECT 'ended_tokens' AS table_name, COUNT(*) AS count FROM ended_tokens WHERE user_id = :user_id
UNION ALL SELECT 'homeserver_accounts' AS table_name, COUNT(*) AS count FROM homeserver_accounts WHERE user_id = :user_id
UNION ALL SELECT 'identity_tokens' AS table_name, COUNT(*) AS count FROM identity_tokens WHERE user_id = :user_id
UNION ALL SELECT 'imported_accounts' AS table_name, COUNT(*) AS count FROM imported_accounts WHERE user_id = :user_id
UNION ALL SELECT 'invites' AS table_name, COUNT(*) AS count FROM invites WHERE sender = :user_id OR bound_to = :user_id OR signed_for = :user_id
UNION ALL SELECT 'login_tokens' AS table_name, COUNT(*) AS count FROM login_tokens WHERE user_id = :user_id
UNION ALL SELECT 'oauth_codes' AS table_name, COUNT(*) AS count FROM oauth_codes WHERE user_id = :user_id
UNION ALL SELECT 'oauth_device_grants' AS table_name, COUNT(*) AS count FROM oauth_device_grants WHERE user_id = :user_id
UNION ALL SELECT 'oauth_sessions' AS table_name, COUNT(*) AS count FROM oauth_sessions WHERE user_id = :user_id
UNION ALL SELECT 'openid_tokens' AS table_name, COUNT(*) AS count FROM openid_tokens WHERE user_id = :user_id
UNION ALL SELECT 'outbox' AS table_name, COUNT(*) AS count FROM outbox WHERE recipient = :user_id
UNION ALL SELECT 'preferences' AS table_name, COUNT(*) AS count FROM preferences WHERE user_id = :user_id
UNION ALL SELECT 'profiles' AS table_name, COUNT(*) AS count FROM profiles WHERE user_id = :user_id
UNION ALL SELECT 'refresh_tokens' AS table_name, COUNT(*) AS count FROM refresh_tokens WHERE user_id = :user_id
UNION ALL SELECT 'registration_repeats' AS table_name, COUNT(*) AS count FROM registration_repeats WHERE user_id = :user_id
UNION ALL SELECT 'remote_sessions' AS table_name, COUNT(*) AS count FROM remote_sessions WHERE user_id = :user_id AND user_id <> ''
UNION ALL SELECT 'threepid_bindings' AS table_name, COUNT(*) AS count FROM threepid_bindings WHERE user_id = :user_id
UNION ALL SELECT 'threepids' AS table_name, COUNT(*) AS count FROM threepids WHERE user_id = :user_id
UNION ALL SELECT 'uia_sessions' AS table_name, COUNT(*) AS count FROM uia_sessions WHERE user_id = :user_id
UNION ALL SELECT 'validation_sessions' AS table_name, COUNT(*) AS count FROM validation_sessions WHERE owner = :user_id AND owner <> ''
UNION ALL SELECT 'web_sessions' AS table_name, COUNT(*) AS count FROM web_sessions WHERE user_id = :user_id;
