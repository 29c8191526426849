-- The origin of requests that the owner of an address confirms, early attempts at authentication stages, and indexes that find
-- the authentication sessions of a device and the idle ones.

-- JSON: time, network and client of the request. '' for requests before this migration.
ALTER TABLE validation_tokens ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE uia_sessions ADD COLUMN origin TEXT NOT NULL DEFAULT '';

-- The credentials of contacts that were not confirmed yet, by stage, sealed like the request.
ALTER TABLE uia_sessions ADD COLUMN early BYTES;

-- A subject is a JSON array of user ID and device ID, because device IDs may contain spaces; '' if the caller is not logged in.
UPDATE uia_sessions SET subject = '["' || replace(subject, ' ', '","') || '"]' WHERE subject <> '';
CREATE INDEX uia_sessions_by_subject ON uia_sessions (subject, created_at) WHERE subject <> '';
CREATE INDEX uia_sessions_by_use ON uia_sessions (used_at) WHERE result IS NULL;
