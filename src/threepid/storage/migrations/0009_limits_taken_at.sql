-- When a unit was last taken from a limit, which shows whether the clock was set back since. 0 if unknown.
ALTER TABLE limits ADD COLUMN taken_at BIGINT NOT NULL DEFAULT 0;
