-- name: store(mail_id, recipient, received_at, message)!
-- Keep a mail; the same mail again is kept once.
INSERT INTO mailbox (id, recipient, received_at, message) VALUES (:mail_id, :recipient, :received_at, :message)
ON CONFLICT (id) DO NOTHING;

-- name: trim(kept)!
-- Make room: only the newest are kept.
DELETE FROM mailbox WHERE id NOT IN (SELECT id FROM mailbox ORDER BY received_at DESC, id LIMIT :kept);

-- name: newest(count)
-- The newest mails.
SELECT id, recipient, received_at, message FROM mailbox ORDER BY received_at DESC, id LIMIT :count;

-- name: get(mail_id)^
-- One mail.
SELECT id, recipient, received_at, message FROM mailbox WHERE id = :mail_id;
