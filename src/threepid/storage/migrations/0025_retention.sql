-- For the end of an account, and for reports that are deleted by age.
CREATE INDEX remote_sessions_by_user ON remote_sessions (user_id) WHERE user_id <> '';
CREATE INDEX suppressions_by_age ON suppressions (latest_at);
