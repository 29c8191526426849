-- name: insert(job_id, channel, recipient, language, template, params, created_at, due_at, expires_at, destination, caller, urgency, step, held_back, request_id)!
-- Insert a job. A job that is due gets a place in the queue, behind the jobs of the same caller. One that is held back has failed
-- from the start, for the reason `held_back`.
INSERT INTO outbox (
    id, channel, recipient, language, template, params, created_at, due_at, planned_at, expires_at,
    destination, caller, urgency, turn, failed_at, last_error, request_id
)
VALUES (
    :job_id, :channel, :recipient, :language, :template, :params, :created_at, :due_at, :created_at, :expires_at,
    :destination, :caller, :urgency,
    CASE WHEN :due_at <= :created_at AND CAST(:held_back AS TEXT) = '' THEN (
        SELECT CASE WHEN MAX(turn) + :step > :created_at THEN MAX(turn) + :step ELSE :created_at END
        FROM outbox WHERE caller = :caller AND urgency = :urgency AND turn IS NOT NULL
    ) END,
    CASE WHEN CAST(:held_back AS TEXT) <> '' THEN CAST(:created_at AS BIGINT) END, NULLIF(CAST(:held_back AS TEXT), ''),
    :request_id
);

-- name: line_up(now, step, count)!
-- Give due jobs a place in the queue, those of one caller one behind the other.
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
-- The same, but skips rows that another worker has locked (SQLite has no row locks).
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

-- name: in_line(now, closed_destinations, closed_callers, closed_channels, count)
-- The first jobs in the queue, most urgent first, without those whose destination, caller or channel is closed.
SELECT id, channel, destination, caller FROM outbox
WHERE turn IS NOT NULL AND expires_at > :now
    AND destination NOT IN (SELECT value FROM json_each(:closed_destinations))
    AND caller NOT IN (SELECT value FROM json_each(:closed_callers))
    AND channel NOT IN (SELECT value FROM json_each(:closed_channels))
ORDER BY urgency, turn LIMIT :count;

-- name: in_line_on_postgresql(now, closed_destinations, closed_callers, closed_channels, count)
-- The same with PostgreSQL's JSON functions, without the rows that another worker has locked.
SELECT id, channel, destination, caller FROM outbox
WHERE turn IS NOT NULL AND expires_at > :now
    AND destination NOT IN (SELECT json_array_elements_text(CAST(:closed_destinations AS JSON)))
    AND caller NOT IN (SELECT json_array_elements_text(CAST(:closed_callers AS JSON)))
    AND channel NOT IN (SELECT json_array_elements_text(CAST(:closed_channels AS JSON)))
ORDER BY urgency, turn LIMIT :count FOR UPDATE SKIP LOCKED;

-- name: claim(ids, worker, now)
-- Claim those of these jobs that are still in the queue; claiming a job takes it out of the queue.
UPDATE outbox SET worker = :worker, renewed_at = :now, turn = NULL, attempts = attempts + 1
WHERE id IN (SELECT value FROM json_each(:ids)) AND turn IS NOT NULL AND expires_at > :now
RETURNING id, channel, recipient, language, template, params, created_at, expires_at, attempts, destination, caller, last_error, request_id;

-- name: claim_on_postgresql(ids, worker, now)
-- The same with PostgreSQL's JSON functions.
UPDATE outbox SET worker = :worker, renewed_at = :now, turn = NULL, attempts = attempts + 1
WHERE id IN (SELECT json_array_elements_text(CAST(:ids AS JSON))) AND turn IS NOT NULL AND expires_at > :now
RETURNING id, channel, recipient, language, template, params, created_at, expires_at, attempts, destination, caller, last_error, request_id;

-- name: sent(job_id, now)!
-- Record a delivery, even if another worker recorded a failure, and erase the contents.
UPDATE outbox SET sent_at = :now, failed_at = NULL, params = '', last_error = NULL, turn = NULL, worker = NULL
WHERE id = :job_id AND sent_at IS NULL;

-- name: retry_later(job_id, attempts, now, due_at, last_error)!
-- Plan another attempt, only for the worker that holds the job: `attempts` is the number of its claim.
UPDATE outbox SET due_at = :due_at, planned_at = :now, last_error = :last_error, turn = NULL, worker = NULL
WHERE id = :job_id AND attempts = :attempts AND sent_at IS NULL AND failed_at IS NULL;

-- name: failed(job_id, attempts, now, last_error)!
-- Record a final failure and erase the contents, only for the worker that holds the job.
UPDATE outbox SET failed_at = :now, params = '', last_error = :last_error, turn = NULL, worker = NULL
WHERE id = :job_id AND attempts = :attempts AND sent_at IS NULL AND failed_at IS NULL;

-- name: drop_expired(now)
-- Fail the expired jobs that no worker holds; returns the channel of each.
UPDATE outbox SET failed_at = :now, params = '', last_error = 'expired: ' || COALESCE(last_error, 'never tried'), turn = NULL
WHERE expires_at <= :now AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL
RETURNING channel;

-- name: pending(now)^
-- What there is to do: are there jobs in the queue, jobs to put into it, and expired jobs?
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
-- The workers that hold jobs, and when they last renewed their claims.
SELECT worker, MAX(renewed_at) AS renewed_at FROM outbox WHERE worker IS NOT NULL GROUP BY worker;

-- name: held_by(worker)
-- The jobs that a worker holds.
SELECT id FROM outbox WHERE worker = :worker;

-- name: renew(worker, now)!
-- Renew the claims of a worker that is alive. Others watch for a change, so the value rises even if the clock does not.
UPDATE outbox SET renewed_at = CASE WHEN renewed_at < :now THEN :now ELSE renewed_at + 1 END WHERE worker = :worker;

-- name: let_go(worker, seen, now)!
-- Put a worker's jobs back into the queue, except those renewed after `seen`.
UPDATE outbox SET worker = NULL, due_at = :now, planned_at = :now, turn = :now
WHERE worker = :worker AND renewed_at <= :seen;

-- name: let_one_go(job_id, worker, now)!
-- Put one job of a worker back into the queue, because the worker does not know of its claim.
UPDATE outbox SET worker = NULL, due_at = :now, planned_at = :now, turn = :now
WHERE id = :job_id AND worker = :worker;

-- name: planned_after(then)$
-- Was a job planned later than `then`?
SELECT 1 FROM outbox
WHERE planned_at > :then AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL LIMIT 1;

-- name: plan_anew(then, now)!
-- Let jobs that were planned by a clock that was ahead wait just as long, but from `now` on.
UPDATE outbox SET due_at = :now + due_at - planned_at, planned_at = :now, turn = CASE WHEN turn IS NOT NULL THEN :now END
WHERE planned_at > :then AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;

-- name: waiting_unbind(recipient, params)^
-- The newest waiting unbind request to an identity server with these parameters, so that no duplicate is sent.
SELECT id, channel, recipient, language, template, params, created_at, expires_at, attempts, destination, caller, last_error, request_id
FROM outbox
WHERE channel = 'unbind' AND recipient = :recipient AND params = :params AND sent_at IS NULL AND failed_at IS NULL
ORDER BY created_at DESC LIMIT 1;

-- name: depth()$
-- Number of waiting jobs.
SELECT COUNT(*) FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL;

-- name: delete(job_id)!
-- Delete a job that others take the place of, unless it is done.
DELETE FROM outbox WHERE id = :job_id AND sent_at IS NULL AND failed_at IS NULL;

-- name: delete_done(then, at_most)!
-- Delete finished jobs that were created before `then`.
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox
    WHERE created_at <= :then AND (sent_at IS NOT NULL OR failed_at IS NOT NULL) LIMIT :at_most
);

-- name: listed(after_at, after_id, count)
-- Jobs that wait or are held, for an operator's list, oldest first. The sum keeps both engines from looking for them in the order of
-- time among all the jobs that are done.
SELECT id, channel, recipient, template, language, created_at, due_at, expires_at, attempts, worker, turn, failed_at, sent_at, last_error,
    returned_at, returned_status, request_id
FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL AND (created_at + 0, id) > (:after_at, :after_id)
ORDER BY created_at + 0, id LIMIT :count;

-- name: listed_failed(after_at, after_id, count)
-- Jobs that have failed, for an operator's list, oldest first.
SELECT id, channel, recipient, template, language, created_at, due_at, expires_at, attempts, worker, turn, failed_at, sent_at, last_error,
    returned_at, returned_status, request_id
FROM outbox WHERE sent_at IS NULL AND failed_at IS NOT NULL AND (created_at, id) > (:after_at, :after_id)
ORDER BY created_at, id LIMIT :count;

-- name: to_recipients(recipients, since, count)
-- The newest messages to these addresses, a JSON array, that were created at `since` or later.
SELECT id, channel, recipient, template, language, created_at, due_at, expires_at, attempts, worker, turn, failed_at, sent_at, last_error,
    returned_at, returned_status, request_id
FROM outbox WHERE recipient IN (SELECT value FROM json_each(:recipients)) AND created_at >= :since AND channel IN ('email', 'sms')
ORDER BY created_at DESC, id DESC LIMIT :count;

-- name: to_recipients_on_postgresql(recipients, since, count)
-- The same with PostgreSQL's JSON functions.
SELECT id, channel, recipient, template, language, created_at, due_at, expires_at, attempts, worker, turn, failed_at, sent_at, last_error,
    returned_at, returned_status, request_id
FROM outbox WHERE recipient = ANY (ARRAY(SELECT json_array_elements_text(CAST(:recipients AS JSON)))) AND created_at >= :since
    AND channel IN ('email', 'sms')
ORDER BY created_at DESC, id DESC LIMIT :count;

-- name: get(job_id)^
-- One job, for an operator.
SELECT id, channel, recipient, template, language, created_at, due_at, expires_at, attempts, worker, turn, failed_at, sent_at, last_error,
    returned_at, returned_status, request_id
FROM outbox WHERE id = :job_id;

-- name: hurry(job_id, now)!
-- Let a job that waits for another attempt be tried now.
UPDATE outbox SET due_at = :now, planned_at = :now
WHERE id = :job_id AND turn IS NULL AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;

-- name: hurry_all(now)!
-- Let all jobs that wait for another attempt be tried now.
UPDATE outbox SET due_at = :now, planned_at = :now
WHERE due_at > :now AND turn IS NULL AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;

-- name: drop(job_id, now)!
-- Fail a job that no worker holds and erase its contents, because an operator does not want it sent.
UPDATE outbox SET failed_at = :now, params = '', last_error = 'dropped by an operator', turn = NULL
WHERE id = :job_id AND worker IS NULL AND sent_at IS NULL AND failed_at IS NULL;

-- name: oldest()$
-- When the oldest waiting job was created; no row has it if none waits. The sum keeps both engines from looking for it in the order of
-- time among all the jobs that are done.
SELECT MIN(created_at + 0) FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL;

-- name: returned(job_id, status, now)!
-- Record a report about a mail that was tried; touches no row if one was recorded before.
UPDATE outbox SET returned_at = :now, returned_status = :status
WHERE id = :job_id AND channel = 'email' AND attempts > 0 AND returned_at IS NULL;

-- name: causes(count)
-- Why unfinished messages wait: the most frequent causes.
SELECT channel, destination, COALESCE(last_error, '') AS last_error, COUNT(*) AS count,
    MIN(created_at) AS oldest_at, MAX(created_at) AS newest_at
FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL
GROUP BY channel, destination, COALESCE(last_error, '') ORDER BY COUNT(*) DESC, channel, destination, last_error LIMIT :count;

-- name: causes_of_failures(count)
-- Why messages have failed: the most frequent causes.
SELECT channel, destination, COALESCE(last_error, '') AS last_error, COUNT(*) AS count,
    MIN(created_at) AS oldest_at, MAX(created_at) AS newest_at
FROM outbox WHERE sent_at IS NULL AND failed_at IS NOT NULL
GROUP BY channel, destination, COALESCE(last_error, '') ORDER BY COUNT(*) DESC, channel, destination, last_error LIMIT :count;

-- name: forget_messages(recipients)!
-- Delete the finished messages to these addresses, and the notices of these accounts that were given up before they were spread.
-- `recipients` is a JSON array of both.
DELETE FROM outbox WHERE recipient IN (SELECT value FROM json_each(:recipients)) AND channel IN ('email', 'sms', 'notice')
    AND (sent_at IS NOT NULL OR failed_at IS NOT NULL);

-- name: forget_messages_on_postgresql(recipients)!
-- The same with PostgreSQL's JSON functions.
DELETE FROM outbox WHERE recipient = ANY (ARRAY(SELECT json_array_elements_text(CAST(:recipients AS JSON))))
    AND channel IN ('email', 'sms', 'notice') AND (sent_at IS NOT NULL OR failed_at IS NOT NULL);
