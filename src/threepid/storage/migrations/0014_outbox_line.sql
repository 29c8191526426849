-- The outbox as a line. `turn` is the place of a message that is due; it is NULL while the message waits for `due_at`, is in a
-- worker's hands (`worker`, renewed at `renewed_at`), or is done with. `planned_at` is when `due_at` was written: a message that was
-- planned later than now was planned by a clock that was wrong. `caller` is a hash.
ALTER TABLE outbox ADD COLUMN destination TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN caller TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN urgency BIGINT NOT NULL DEFAULT 1;
ALTER TABLE outbox ADD COLUMN turn BIGINT;
ALTER TABLE outbox ADD COLUMN planned_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN worker TEXT;
ALTER TABLE outbox ADD COLUMN renewed_at BIGINT;

-- What waits already has a destination of its own: the domain of an address is not told by SQL on both engines alike.
UPDATE outbox SET destination = channel || ':' || recipient WHERE sent_at IS NULL AND failed_at IS NULL;

DROP INDEX outbox_due;
CREATE INDEX outbox_due ON outbox (due_at)
    WHERE turn IS NULL AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;
CREATE INDEX outbox_line ON outbox (urgency, turn) WHERE turn IS NOT NULL;
CREATE INDEX outbox_callers ON outbox (caller, urgency, turn) WHERE turn IS NOT NULL;
CREATE INDEX outbox_held ON outbox (worker) WHERE worker IS NOT NULL;
