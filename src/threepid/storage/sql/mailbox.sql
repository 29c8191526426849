-- name: store(mail_id, recipient, received_at, message)!
-- Insert a mail; touches no row if its ID is known.
INSERT INTO mailbox (id, recipient, received_at, message) VALUES (:mail_id, :recipient, :received_at, :message)
ON CONFLICT (id) DO NOTHING;

-- name: trim(kept)!
-- Delete all but the newest mails.
DELETE FROM mailbox WHERE id NOT IN (SELECT id FROM mailbox ORDER BY received_at DESC, id DESC LIMIT :kept);

-- name: newest(count)
-- The newest mails.
SELECT id, recipient, received_at, message FROM mailbox ORDER BY received_at DESC, id DESC LIMIT :count;

-- name: get(mail_id)^
-- One mail.
SELECT id, recipient, received_at, message FROM mailbox WHERE id = :mail_id;
