-- A homeserver such as Synapse that has the rooms of our accounts, and learns of accounts, contacts and devices from the outbox.

-- When an operator locked the account. A locked account keeps its devices, but nothing can be done with it.
ALTER TABLE accounts ADD COLUMN locked_at BIGINT;

-- What the homeserver knows of an account. `provisioned_at` is NULL until it has the account. `run_id` names the job that is
-- telling it something about the account since `run_at`: one at a time, because a list of devices that arrives late deletes devices.
CREATE TABLE homeserver_accounts (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (user_id) ON DELETE CASCADE,
    provisioned_at BIGINT,
    run_id TEXT,
    run_at BIGINT
);

-- Waiting jobs for the homeserver: one of each name for an account is enough, because a job tells what is true when it runs.
CREATE INDEX outbox_homeserver ON outbox (recipient, template)
    WHERE channel = 'homeserver' AND sent_at IS NULL AND failed_at IS NULL;
