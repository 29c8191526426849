-- When something was last taken of a limit: a clock that was set back since then is seen by it. 0 where that is not known.
ALTER TABLE limits ADD COLUMN taken_at BIGINT NOT NULL DEFAULT 0;
