-- The outbox as a queue. `turn` is the place of a job that is due; it is NULL while the job waits for `due_at`, is held by a
-- worker (`worker`, renewed at `renewed_at`), or is done. `planned_at` is when `due_at` was written: a wrong clock planned a job
-- whose `planned_at` is in the future. `caller` is a hash.
ALTER TABLE outbox ADD COLUMN destination TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN caller TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN urgency BIGINT NOT NULL DEFAULT 1;
ALTER TABLE outbox ADD COLUMN turn BIGINT;
ALTER TABLE outbox ADD COLUMN planned_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN worker TEXT;
ALTER TABLE outbox ADD COLUMN renewed_at BIGINT;

-- Each waiting job gets a destination of its own, because the two engines do not share SQL that extracts an address's domain.
UPDATE outbox SET destination = channel || ':' || recipient WHERE sent_at IS NULL AND failed_at IS NULL;

DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (due_at)
    WHERE turn IS NULL AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;
CREATE INDEX outbox_line ON outbox (urgency, turn) WHERE turn IS NOT NULL;
CREATE INDEX outbox_callers ON outbox (caller, urgency, turn) WHERE turn IS NOT NULL;
CREATE INDEX outbox_held ON outbox (worker) WHERE worker IS NOT NULL;
