-- name: insert(order_id, channel, recipient, language, template, params, created_at, due_at, expires_at)!
-- A message that waits for delivery.
INSERT INTO outbox (id, channel, recipient, language, template, params, created_at, due_at, expires_at)
VALUES (:order_id, :channel, :recipient, :language, :template, :params, :created_at, :due_at, :expires_at);

-- name: claim(now, leased_until, count)
-- Take messages that are due for a while; the predicate stands in both places, or two workers would take one row.
UPDATE outbox SET due_at = :leased_until, attempts = attempts + 1
WHERE id IN (
    SELECT id FROM outbox
    WHERE due_at <= :now AND expires_at > :now AND sent_at IS NULL AND failed_at IS NULL
    ORDER BY due_at LIMIT :count
) AND due_at <= :now AND expires_at > :now AND sent_at IS NULL AND failed_at IS NULL
RETURNING id, channel, recipient, language, template, params, created_at, expires_at, attempts;

-- name: claim_on_postgresql(now, leased_until, count)
-- The same, without waiting for rows that another worker is just taking (SQLite has no row locks to skip). As an array the
-- rows are chosen once; a plain IN may be planned so that they are chosen again and again, past the limit.
UPDATE outbox SET due_at = :leased_until, attempts = attempts + 1
WHERE id = ANY(ARRAY(
    SELECT id FROM outbox
    WHERE due_at <= :now AND expires_at > :now AND sent_at IS NULL AND failed_at IS NULL
    ORDER BY due_at LIMIT :count FOR UPDATE SKIP LOCKED
)) AND due_at <= :now AND expires_at > :now AND sent_at IS NULL AND failed_at IS NULL
RETURNING id, channel, recipient, language, template, params, created_at, expires_at, attempts;

-- name: sent(order_id, now)!
-- Delivered, whatever another worker thought of it; its contents are forgotten.
UPDATE outbox SET sent_at = :now, failed_at = NULL, params = '', last_error = NULL
WHERE id = :order_id AND sent_at IS NULL;

-- name: retry_later(order_id, attempts, due_at, last_error)!
-- Not delivered; to be tried again. Only for the worker that holds the lease: `attempts` is the number of its claim.
UPDATE outbox SET due_at = :due_at, last_error = :last_error
WHERE id = :order_id AND attempts = :attempts AND sent_at IS NULL AND failed_at IS NULL;

-- name: failed(order_id, attempts, now, last_error)!
-- Never to be delivered; its contents are forgotten. Only for the worker that holds the lease.
UPDATE outbox SET failed_at = :now, params = '', last_error = :last_error
WHERE id = :order_id AND attempts = :attempts AND sent_at IS NULL AND failed_at IS NULL;

-- name: drop_expired(now)!
-- Too late to be of use. What a worker is just delivering is not due, and is left to it.
UPDATE outbox SET failed_at = :now, params = '', last_error = 'expired: ' || COALESCE(last_error, 'never tried')
WHERE expires_at <= :now AND due_at <= :now AND sent_at IS NULL AND failed_at IS NULL;

-- name: has_due(now)$
-- Is there anything to do, delivering or dropping?
SELECT 1 FROM outbox WHERE due_at <= :now AND sent_at IS NULL AND failed_at IS NULL LIMIT 1;

-- name: waiting_withdrawal(recipient, params)^
-- The newest request to an identity server that waits already: to ask the same twice is of no use.
SELECT id, channel, recipient, language, template, params, created_at, expires_at, attempts FROM outbox
WHERE channel = 'unbind' AND recipient = :recipient AND params = :params AND sent_at IS NULL AND failed_at IS NULL
ORDER BY created_at DESC LIMIT 1;

-- name: depth()$
-- How many messages wait.
SELECT COUNT(*) FROM outbox WHERE sent_at IS NULL AND failed_at IS NULL;

-- name: delete_done(then)!
-- Forget messages that were done with long ago.
DELETE FROM outbox WHERE created_at <= :then AND (sent_at IS NOT NULL OR failed_at IS NOT NULL);
