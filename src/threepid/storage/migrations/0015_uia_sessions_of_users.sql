-- The user whose device began an authentication session, so that the sessions of an account can be counted. Older sessions live
-- for two days at most and are not counted.
ALTER TABLE uia_sessions ADD COLUMN user_id TEXT;
CREATE INDEX uia_sessions_by_user ON uia_sessions (user_id, created_at) WHERE user_id IS NOT NULL;
