-- What operators look for, and what is deleted by age, is found without reading a whole table of a million accounts.

-- The entries about one event in the audit log of all accounts, and the messages that have failed.
CREATE INDEX audit_log_by_event ON audit_log (kind, at, entry_id);
CREATE INDEX outbox_failed ON outbox (created_at, id) WHERE failed_at IS NOT NULL;

-- The invitations to an address, also those that were delivered or cancelled.
CREATE INDEX invites_by_address ON invites (medium, canonical);

-- Browser sessions that have lasted too long, and the authentication session that registered an account.
CREATE INDEX web_sessions_by_creation ON web_sessions (created_at);
CREATE INDEX uia_sessions_by_result ON uia_sessions (result) WHERE result IS NOT NULL;
