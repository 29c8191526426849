-- Who asked for what its owner is to confirm, what an authentication session keeps of an attempt that came too early, and how the
-- sessions of one device are found and those that nobody goes on with forgotten.

-- JSON: when, from which network, by which client. '' for what was asked for before.
ALTER TABLE validation_tokens ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE uia_sessions ADD COLUMN origin TEXT NOT NULL DEFAULT '';

-- Sealed like the request: by stage, the credentials of a contact that was not confirmed yet.
ALTER TABLE uia_sessions ADD COLUMN early BYTES;

-- A subject is a JSON array of user ID and device ID, '' for nobody: device IDs may have blanks in them.
UPDATE uia_sessions SET subject = '["' || replace(subject, ' ', '","') || '"]' WHERE subject <> '';
CREATE INDEX uia_sessions_by_subject ON uia_sessions (subject, created_at) WHERE subject <> '';
CREATE INDEX uia_sessions_by_use ON uia_sessions (used_at) WHERE result IS NULL;
