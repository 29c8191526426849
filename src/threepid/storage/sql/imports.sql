-- name: begin(source, settings, run_id, now, total)!
-- Begin a run, in the place of an earlier run of the same source.
INSERT INTO imports (source, settings, run_id, started_at, done, total)
VALUES (:source, :settings, :run_id, :now, 0, :total)
ON CONFLICT (source) DO UPDATE SET
    settings = excluded.settings, run_id = excluded.run_id, started_at = excluded.started_at, finished_at = NULL,
    done = 0, total = excluded.total;

-- name: get(source)^
-- The latest run of a source.
SELECT settings, run_id, started_at, finished_at, done, total, position FROM imports WHERE source = :source;

-- name: advance(source, run_id, done, position)!
-- Record how far a run has come; touches no row if another run has taken its place.
UPDATE imports SET done = :done, position = :position WHERE source = :source AND run_id = :run_id;

-- name: finish(source, run_id, now)!
-- Record the end of a run; touches no row if another run has taken its place.
UPDATE imports SET finished_at = :now WHERE source = :source AND run_id = :run_id;

-- name: changes(source)$
-- What was changed since the audit log last had an entry about the end of a run.
SELECT changes FROM imports WHERE source = :source;

-- name: set_changes(source, changes)!
-- Record what was changed since then.
UPDATE imports SET changes = :changes WHERE source = :source;

-- name: known(user_ids)
-- Those of a JSON array of user IDs that have an account, and what was imported of it.
SELECT accounts.user_id, source, theirs, ours
FROM accounts LEFT JOIN imported_accounts ON imported_accounts.user_id = accounts.user_id
WHERE accounts.user_id IN (SELECT value FROM json_each(:user_ids));

-- name: known_on_postgresql(user_ids)
-- The same with PostgreSQL's JSON functions.
SELECT accounts.user_id, source, theirs, ours
FROM accounts LEFT JOIN imported_accounts ON imported_accounts.user_id = accounts.user_id
WHERE accounts.user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)));

-- name: accounts(user_ids)
-- The accounts of a JSON array of user IDs.
SELECT user_id, password_hash, deactivated_at, locked_at, admin_at FROM accounts
WHERE user_id IN (SELECT value FROM json_each(:user_ids));

-- name: accounts_on_postgresql(user_ids)
-- The same with PostgreSQL's JSON functions. Locks the rows, so that nothing changes before they are replaced.
SELECT user_id, password_hash, deactivated_at, locked_at, admin_at FROM accounts
WHERE user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON))) ORDER BY user_id FOR UPDATE;

-- name: contacts(user_ids)
-- The contacts of the accounts of a JSON array of user IDs.
SELECT user_id, medium, canonical, address, validated_at, added_at FROM threepids
WHERE user_id IN (SELECT value FROM json_each(:user_ids));

-- name: contacts_on_postgresql(user_ids)
-- The same with PostgreSQL's JSON functions.
SELECT user_id, medium, canonical, address, validated_at, added_at FROM threepids
WHERE user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)));

-- name: devices(user_ids)
-- The devices of the accounts of a JSON array of user IDs.
SELECT user_id, device_id, display_name FROM devices WHERE user_id IN (SELECT value FROM json_each(:user_ids));

-- name: devices_on_postgresql(user_ids)
-- The same with PostgreSQL's JSON functions.
SELECT user_id, device_id, display_name FROM devices
WHERE user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)));

-- name: owners(canonicals)
-- The owners of the addresses of a JSON array of canonical forms, of any medium.
SELECT medium, canonical, user_id FROM threepids WHERE medium IN ('email', 'msisdn')
    AND canonical IN (SELECT value FROM json_each(:canonicals));

-- name: owners_on_postgresql(canonicals)
-- The same with PostgreSQL's JSON functions.
SELECT medium, canonical, user_id FROM threepids WHERE medium IN ('email', 'msisdn')
    AND canonical IN (SELECT json_array_elements_text(CAST(:canonicals AS JSON)));

-- name: delete_contacts(user_ids)!
-- Delete the contacts of the accounts of a JSON array of user IDs.
DELETE FROM threepids WHERE user_id IN (SELECT value FROM json_each(:user_ids));

-- name: delete_contacts_on_postgresql(user_ids)!
-- The same with PostgreSQL's JSON functions.
DELETE FROM threepids WHERE user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)));

-- name: delete_devices(user_ids)!
-- Delete the devices of the accounts of a JSON array of user IDs and, by the foreign keys, their tokens.
DELETE FROM devices WHERE user_id IN (SELECT value FROM json_each(:user_ids));

-- name: delete_devices_on_postgresql(user_ids)!
-- The same with PostgreSQL's JSON functions.
DELETE FROM devices WHERE user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)));

-- name: delete_web_sessions(user_ids)!
-- Sign out all browsers of the accounts of a JSON array of user IDs.
DELETE FROM web_sessions WHERE user_id IN (SELECT value FROM json_each(:user_ids));

-- name: delete_web_sessions_on_postgresql(user_ids)!
-- The same with PostgreSQL's JSON functions.
DELETE FROM web_sessions WHERE user_id IN (SELECT json_array_elements_text(CAST(:user_ids AS JSON)));

-- name: insert_account(user_id, password_hash, created_at, deactivated_at, locked_at, admin_at, application_service)!
-- Insert an account.
INSERT INTO accounts (user_id, password_hash, created_at, deactivated_at, locked_at, admin_at, application_service)
VALUES (:user_id, CAST(:password_hash AS TEXT), :created_at, CAST(:deactivated_at AS BIGINT), CAST(:locked_at AS BIGINT),
    CAST(:admin_at AS BIGINT), CAST(:application_service AS TEXT));

-- name: update_account(user_id, password_hash, deactivated_at, locked_at, admin_at, application_service)!
-- Replace what was imported of an account. What it was before, it has been since then.
UPDATE accounts SET password_hash = CAST(:password_hash AS TEXT), application_service = CAST(:application_service AS TEXT),
    deactivated_at = CASE WHEN CAST(:deactivated_at AS BIGINT) IS NULL THEN NULL
        ELSE COALESCE(deactivated_at, CAST(:deactivated_at AS BIGINT)) END,
    locked_at = CASE WHEN CAST(:locked_at AS BIGINT) IS NULL THEN NULL
        ELSE COALESCE(locked_at, CAST(:locked_at AS BIGINT)) END,
    admin_at = CASE WHEN CAST(:admin_at AS BIGINT) IS NULL THEN NULL
        ELSE COALESCE(admin_at, CAST(:admin_at AS BIGINT)) END
WHERE user_id = :user_id;

-- name: provisioned(user_id, now)!
-- Note that the other server, which will be the homeserver beside us, has the account.
INSERT INTO homeserver_accounts (user_id, provisioned_at) VALUES (:user_id, :now)
ON CONFLICT (user_id) DO UPDATE SET provisioned_at = excluded.provisioned_at;

-- name: insert_contact(user_id, medium, canonical, address, validated_at, added_at)!
-- Insert a contact.
INSERT INTO threepids (user_id, medium, canonical, address, validated_at, added_at)
VALUES (:user_id, :medium, :canonical, :address, :validated_at, :added_at);

-- name: insert_device(user_id, device_id, display_name, created_at, seen_at, seen_from, network, user_agent)!
-- Insert a device.
INSERT INTO devices (user_id, device_id, display_name, created_at, seen_at, seen_from, network, user_agent)
VALUES (:user_id, :device_id, CAST(:display_name AS TEXT), :created_at, CAST(:seen_at AS BIGINT), CAST(:seen_from AS TEXT),
    CAST(:network AS TEXT), CAST(:user_agent AS TEXT));

-- name: insert_refresh_token(token_hash, user_id, device_id, parent_hash, created_at, expires_at)!
-- Insert the hash of a refresh token; touches no row if there is such a token already.
INSERT INTO refresh_tokens (token_hash, user_id, device_id, parent_hash, created_at, expires_at)
VALUES (:token_hash, :user_id, :device_id, :parent_hash, :created_at, :expires_at)
ON CONFLICT (token_hash) DO NOTHING;

-- name: insert_access_token(token_hash, user_id, device_id, created_at, expires_at, refresh_hash, first_use_spends)!
-- Insert the hash of an access token; touches no row if there is such a token already.
INSERT INTO access_tokens (token_hash, user_id, device_id, created_at, expires_at, refresh_hash, first_use_spends)
VALUES (:token_hash, :user_id, :device_id, :created_at, CAST(:expires_at AS BIGINT),
    :refresh_hash, :first_use_spends)
ON CONFLICT (token_hash) DO NOTHING;

-- name: record(user_id, source, theirs, ours)!
-- Record what was imported of an account.
INSERT INTO imported_accounts (user_id, source, theirs, ours) VALUES (:user_id, :source, :theirs, :ours)
ON CONFLICT (user_id) DO UPDATE SET theirs = excluded.theirs, ours = excluded.ours;

-- name: stored(source)^
-- How much there is of the accounts that were imported from a source.
SELECT
    (SELECT COUNT(*) FROM imported_accounts WHERE source = :source) AS accounts,
    (SELECT COUNT(*) FROM threepids JOIN imported_accounts USING (user_id) WHERE source = :source) AS contacts,
    (SELECT COUNT(*) FROM devices JOIN imported_accounts USING (user_id) WHERE source = :source) AS devices;
