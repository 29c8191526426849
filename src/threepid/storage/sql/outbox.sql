-- name: insert(order_id, channel, recipient, language, template, params, created_at, due_at, expires_at, destination, caller, urgency, step)!
-- A message that waits for delivery. One that is due gets a place in the line: behind what waits for the same caller.
INSERT INTO outbox (
    id, channel, recipient, language, template, params, created_at, due_at, planned_at, expires_at,
    destination, caller, urgency, turn
)
VALUES (
    :order_id, :channel, :recipient, :language, :template, :params, :created_at, :due_at, :created_at, :expires_at,
    :destination, :caller, :urgency,
    CASE WHEN :due_at <= :created_at THEN (
        SELECT CASE WHEN MAX(turn) + :step > :created_at THEN MAX(turn) + :step ELSE :created_at END
        FROM outbox WHERE caller = :caller AND urgency = :urgency AND turn IS NOT NULL
    ) END
);

-- name: line_up(now, step, count)!
-- Give messages whose pause is over a place in the line, those of one caller one behind the other.
UPDATE outbox SET turn = :now + :step * due.place
FROM (
    SELECT id, ROW_NUMBER() OVER (PARTITION BY caller, urgency ORDER BY due_at) - 1 AS place FROM (
        SELECT id, caller, urgency, due_at FROM outbox
        WHERE due_at <= :now AND turn IS NULL AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL
        ORDER BY due_at LIMIT :count
    ) AS found
) AS due
WHERE outbox.id = due.id AND outbox.turn IS NULL AND outbox.worker IS NULL
    AND outbox.sent_at IS NULL AND outbox.failed_at IS NULL;

-- name: line_up_on_postgresql(now, step, count)!
-- The same, without waiting for rows that another worker is just lining up (SQLite has no row locks to skip).
UPDATE outbox SET turn = :now + :step * due.place
FROM (
    SELECT id, ROW_NUMBER() OVER (PARTITION BY caller, urgency ORDER BY due_at) - 1 AS place FROM (
        SELECT id, caller, urgency, due_at FROM outbox
        WHERE due_at <= :now AND turn IS NULL AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL
        ORDER BY due_at LIMIT :count FOR UPDATE SKIP LOCKED
    ) AS found
) AS due
WHERE outbox.id = due.id AND outbox.turn IS NULL AND outbox.worker IS NULL
    AND outbox.sent_at IS NULL AND outbox.failed_at IS NULL;

-- name: in_line(now, closed_destinations, closed_callers, count)
-- The first messages of the line, the most urgent before others, without those that have to wait for their destination or caller.
SELECT id, destination, caller FROM outbox
WHERE turn IS NOT NULL AND expires_at > :now
    AND destination NOT IN (SELECT value FROM json_each(:closed_destinations))
    AND caller NOT IN (SELECT value FROM json_each(:closed_callers))
ORDER BY urgency, turn LIMIT :count;

-- name: in_line_on_postgresql(now, closed_destinations, closed_callers, count)
-- The same with PostgreSQL's words for JSON, and without those that another worker is just taking.
SELECT id, destination, caller FROM outbox
WHERE turn IS NOT NULL AND expires_at > :now
    AND destination NOT IN (SELECT json_array_elements_text(CAST(:closed_destinations AS JSON)))
    AND caller NOT IN (SELECT json_array_elements_text(CAST(:closed_callers AS JSON)))
ORDER BY urgency, turn LIMIT :count FOR UPDATE SKIP LOCKED;

-- name: claim(ids, worker, now)
-- Take these messages, unless somebody else did: only what is in the line can be taken, and taking it takes it out.
UPDATE outbox SET worker = :worker, renewed_at = :now, turn = NULL, attempts = attempts + 1
WHERE id IN (SELECT value FROM json_each(:ids)) AND turn IS NOT NULL AND expires_at > :now
RETURNING id, channel, recipient, language, template, params, created_at, expires_at, attempts, destination, caller;

-- name: claim_on_postgresql(ids, worker, now)
-- The same with PostgreSQL's words for JSON.
UPDATE outbox SET worker = :worker, renewed_at = :now, turn = NULL, attempts = attempts + 1
WHERE id IN (SELECT json_array_elements_text(CAST(:ids AS JSON))) AND turn IS NOT NULL AND expires_at > :now
RETURNING id, channel, recipient, language, template, params, created_at, expires_at, attempts, destination, caller;

-- name: sent(order_id, now)!
-- Delivered, whatever another worker thought of it; its contents are forgotten.
UPDATE outbox SET sent_at = :now, failed_at = NULL, params = '', last_error = NULL, turn = NULL, worker = NULL
WHERE id = :order_id AND sent_at IS NULL;

-- name: retry_later(order_id, attempts, now, due_at, last_error)!
-- Not delivered; to be tried again. Only for the worker that has it: `attempts` is the number of its claim.
UPDATE outbox SET due_at = :due_at, planned_at = :now, last_error = :last_error, turn = NULL, worker = NULL
WHERE id = :order_id AND attempts = :attempts AND sent_at IS NULL AND failed_at IS NULL;

-- name: failed(order_id, attempts, now, last_error)!
-- Never to be delivered; its contents are forgotten. Only for the worker that has it.
UPDATE outbox SET failed_at = :now, params = '', last_error = :last_error, turn = NULL, worker = NULL
WHERE id = :order_id AND attempts = :attempts AND sent_at IS NULL AND failed_at IS NULL;

-- name: drop_expired(now)!
-- Too late to be of use. What a worker is just delivering is left to it.
UPDATE outbox SET failed_at = :now, params = '', last_error = 'expired: ' || COALESCE(last_error, 'never tried'), turn = NULL
WHERE expires_at <= :now AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;

-- name: pending(now)^
-- What there is to do: messages that stand in the line, that are to be put into it, and that have expired.
SELECT
    EXISTS (SELECT 1 FROM outbox WHERE turn IS NOT NULL) AS in_line,
    EXISTS (
        SELECT 1 FROM outbox
        WHERE due_at <= :now AND turn IS NULL AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL
    ) AS due,
    EXISTS (
        SELECT 1 FROM outbox WHERE expires_at <= :now AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL
    ) AS expired;

-- name: held()
-- The workers that have messages in hand, and when they last said so.
SELECT worker, MAX(renewed_at) AS renewed_at FROM outbox WHERE worker IS NOT NULL GROUP BY worker;

-- name: held_by(worker)
-- The messages that a worker has in hand.
SELECT id FROM outbox WHERE worker = :worker;

-- name: renew(worker, now)!
-- A worker lives. Others look whether this changes, so it does whatever the clock says.
UPDATE outbox SET renewed_at = CASE WHEN renewed_at < :now THEN :now ELSE renewed_at + 1 END WHERE worker = :worker;

-- name: let_go(worker, seen, now)!
-- What a worker has in hand is in the line again, unless it said after `seen` that it lives.
UPDATE outbox SET worker = NULL, due_at = :now, planned_at = :now, turn = :now
WHERE worker = :worker AND renewed_at <= :seen;

-- name: let_one_go(order_id, worker, now)!
-- A message that a worker has taken and does not know of is in the line again.
UPDATE outbox SET worker = NULL, due_at = :now, planned_at = :now, turn = :now
WHERE id = :order_id AND worker = :worker;

-- name: planned_after(then)$
-- Was a message planned later than that?
SELECT 1 FROM outbox
WHERE planned_at > :then AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL LIMIT 1;

-- name: plan_anew(then, now)!
-- What was planned by a clock that was wrong waits from now on, as long as it was to wait.
UPDATE outbox SET due_at = :now + due_at - planned_at, planned_at = :now, turn = CASE WHEN turn IS NOT NULL THEN :now END
WHERE planned_at > :then AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;

-- name: waiting_withdrawal(recipient, params)^
-- The newest request to an identity server that waits already: to ask the same twice is of no use.
SELECT id, channel, recipient, language, template, params, created_at, expires_at, attempts, destination, caller FROM outbox
WHERE channel = 'unbind' AND recipient = :recipient AND params = :params AND sent_at IS NULL AND failed_at IS NULL
ORDER BY created_at DESC LIMIT 1;

-- name: depth()$
-- How many messages wait.
SELECT COUNT(*) FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL;

-- name: delete_done(then)!
-- Forget messages that were done with long ago.
DELETE FROM outbox WHERE created_at <= :then AND (sent_at IS NOT NULL OR failed_at IS NOT NULL);
