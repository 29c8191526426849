-- name: provisioned_at(user_id)$
-- When the homeserver got the account.
SELECT provisioned_at FROM homeserver_accounts WHERE user_id = :user_id;

-- name: provisioned(user_id, now)!
-- Note that the homeserver has the account.
INSERT INTO homeserver_accounts (user_id, provisioned_at) VALUES (:user_id, :now)
ON CONFLICT (user_id) DO UPDATE SET provisioned_at = excluded.provisioned_at;

-- name: take_unknown(at_most)
-- Note active accounts that have no row yet.
INSERT INTO homeserver_accounts (user_id)
SELECT accounts.user_id FROM accounts LEFT JOIN homeserver_accounts ON homeserver_accounts.user_id = accounts.user_id
WHERE homeserver_accounts.user_id IS NULL AND deactivated_at IS NULL ORDER BY accounts.user_id LIMIT :at_most
ON CONFLICT (user_id) DO NOTHING RETURNING user_id;

-- name: begin(user_id, run_id, now, before, after)!
-- Let a job be the only one for the account; touches no row while another one runs that began between these times.
INSERT INTO homeserver_accounts (user_id, run_id, run_at) VALUES (:user_id, :run_id, :now)
ON CONFLICT (user_id) DO UPDATE SET run_id = excluded.run_id, run_at = excluded.run_at
WHERE homeserver_accounts.run_id IS NULL
    OR homeserver_accounts.run_at NOT BETWEEN CAST(:after AS BIGINT) AND CAST(:before AS BIGINT);

-- name: end(user_id, run_id)!
-- End a job of the account.
UPDATE homeserver_accounts SET run_id = NULL, run_at = NULL WHERE user_id = :user_id AND run_id = :run_id;

-- name: running(user_id, before, after)$
-- The job of the account that runs, if it began between these times.
SELECT run_id FROM homeserver_accounts
WHERE user_id = :user_id AND run_at BETWEEN CAST(:after AS BIGINT) AND CAST(:before AS BIGINT);

-- name: hold_waiting(recipient, template, params)!
-- Lock a job of this name and with these parameters for the account that waits, and that no worker has claimed, until the transaction ends.
UPDATE outbox SET language = language
WHERE channel = 'homeserver' AND recipient = :recipient AND template = :template AND params = :params
    AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;
