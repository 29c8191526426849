-- Nearly every session sends one message. Its hashes stand in the session itself, so that a request for a token changes one table
-- less. `validation_tokens` has those of a session's later messages, and of all messages of the sessions before this migration.
ALTER TABLE validation_sessions ADD COLUMN link_hash BYTES;
ALTER TABLE validation_sessions ADD COLUMN link_expires_at BIGINT;
ALTER TABLE validation_sessions ADD COLUMN code_hash BYTES;
ALTER TABLE validation_sessions ADD COLUMN code_expires_at BIGINT;
ALTER TABLE validation_sessions ADD COLUMN origin TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX validation_sessions_by_link ON validation_sessions (link_hash) WHERE link_hash IS NOT NULL;
