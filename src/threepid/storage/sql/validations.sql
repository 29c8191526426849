-- name: insert(sid, purpose, owner, medium, canonical, address, secret_hash, send_attempt, next_link, created_at, expires_at, link_hash, link_expires_at, code_hash, code_expires_at, origin)!
-- Insert a validation session, with the link and code hashes of its first message and the origin of the request for it; touches no
-- row if one is open for the same purpose, owner, address and secret.
INSERT INTO validation_sessions
    (sid, purpose, owner, medium, canonical, address, secret_hash, send_attempt, wrong_attempts, next_link,
     created_at, expires_at, link_hash, link_expires_at, code_hash, code_expires_at, origin)
VALUES
    (:sid, :purpose, :owner, :medium, :canonical, :address, :secret_hash, :send_attempt, 0, CAST(:next_link AS TEXT),
     :created_at, :expires_at, :link_hash, :link_expires_at, :code_hash, :code_expires_at, :origin)
ON CONFLICT (purpose, owner, medium, canonical, secret_hash) WHERE consumed_at IS NULL DO NOTHING;

-- name: close_over(purpose, owner, medium, canonical, secret_hash, now, ahead)!
-- Close a session that has expired, or that a clock that was ahead opened or validated, to make room for the next.
UPDATE validation_sessions SET consumed_at = :now
WHERE purpose = :purpose AND owner = :owner AND medium = :medium AND canonical = :canonical
    AND secret_hash = :secret_hash AND consumed_at IS NULL
    AND (expires_at <= :now OR created_at > :ahead OR validated_at > :ahead);

-- name: open_session(purpose, owner, medium, canonical, secret_hash)^
-- The open session of a purpose, owner, address and secret.
SELECT
    sid, purpose, owner, medium, canonical, address, secret_hash, send_attempt, wrong_attempts, next_link,
    created_at, expires_at, validated_at, consumed_at
FROM validation_sessions
WHERE purpose = :purpose AND owner = :owner AND medium = :medium AND canonical = :canonical
    AND secret_hash = :secret_hash AND consumed_at IS NULL;

-- name: by_sid(sid)^
-- One session.
SELECT
    sid, purpose, owner, medium, canonical, address, secret_hash, send_attempt, wrong_attempts, next_link,
    created_at, expires_at, validated_at, consumed_at
FROM validation_sessions WHERE sid = :sid;

-- name: by_link(link_hash)^
-- The session of a mailed link.
SELECT
    sid, purpose, owner, medium, canonical, address, secret_hash, send_attempt, wrong_attempts, next_link,
    created_at, expires_at, validated_at, consumed_at
FROM validation_sessions
WHERE link_hash = :link_hash OR sid = (SELECT sid FROM validation_tokens WHERE link_hash = :link_hash);

-- name: raise_send_attempt(sid, send_attempt)!
-- Raise `send_attempt`; touches no row if it is as high already.
UPDATE validation_sessions SET send_attempt = :send_attempt WHERE sid = :sid AND send_attempt < :send_attempt;

-- name: insert_token(sid, send_attempt, link_hash, link_expires_at, code_hash, code_expires_at, origin)!
-- Insert the link and code hashes of a later message, and the origin of the request for it.
INSERT INTO validation_tokens (sid, send_attempt, link_hash, link_expires_at, code_hash, code_expires_at, origin)
VALUES (:sid, :send_attempt, :link_hash, :link_expires_at, :code_hash, :code_expires_at, :origin);

-- name: origin_of_link(link_hash)$
-- The origin of the request for a link's message.
SELECT origin FROM validation_sessions WHERE link_hash = :link_hash
UNION ALL SELECT origin FROM validation_tokens WHERE link_hash = :link_hash;

-- name: tokens(sid)
-- The link and code hashes of a session's messages.
SELECT link_hash, link_expires_at, code_hash, code_expires_at FROM validation_sessions
WHERE sid = :sid AND link_hash IS NOT NULL
UNION ALL
SELECT link_hash, link_expires_at, code_hash, code_expires_at FROM validation_tokens WHERE sid = :sid;

-- name: spend_attempt(sid, attempts)!
-- Count an attempt as wrong before it is checked; touches no row if the session is closed, validated or out of attempts.
UPDATE validation_sessions SET wrong_attempts = wrong_attempts + 1
WHERE sid = :sid AND wrong_attempts < :attempts AND validated_at IS NULL AND consumed_at IS NULL;

-- name: validate(sid, now, expires_at)!
-- Validate a session after a right token, and take the attempt off the count of wrong ones.
UPDATE validation_sessions
SET validated_at = :now, wrong_attempts = wrong_attempts - 1, expires_at = :expires_at
WHERE sid = :sid AND validated_at IS NULL AND consumed_at IS NULL;

-- name: validate_by_link(sid, now, expires_at, attempts)!
-- Validate a session by its mailed link; touches no row if it is closed, validated, expired or out of attempts.
UPDATE validation_sessions SET validated_at = :now, expires_at = :expires_at
WHERE sid = :sid AND validated_at IS NULL AND consumed_at IS NULL AND expires_at > :now AND wrong_attempts < :attempts;

-- name: wrong_attempts_at(medium, canonical, since, ahead)$
-- Number of wrong attempts in all sessions of an address that were opened after `since`.
SELECT COALESCE(SUM(wrong_attempts), 0) FROM validation_sessions
WHERE medium = :medium AND canonical = :canonical AND created_at > :since AND created_at <= :ahead;

-- name: validated_after(medium, canonical, since)$
-- Was an address validated after `since`, by a session that is not deleted yet?
SELECT 1 FROM validation_sessions
WHERE medium = :medium AND canonical = :canonical AND validated_at > :since LIMIT 1;

-- name: consume(sid, now, ahead)!
-- Use up a validated session; touches no row if it was used, has expired or is not validated.
UPDATE validation_sessions SET consumed_at = :now
WHERE sid = :sid AND consumed_at IS NULL AND validated_at <= :ahead AND expires_at > :now;

-- name: consume_by_link(sid, now, ahead, attempts)!
-- Use up a session by its mailed link; touches no row if it was used, has expired or is out of attempts.
UPDATE validation_sessions SET consumed_at = :now
WHERE sid = :sid AND consumed_at IS NULL AND created_at <= :ahead AND expires_at > :now AND wrong_attempts < :attempts;

-- name: close_of_address(medium, canonical, purpose, now)!
-- Close the open sessions of an address and purpose, because what they would prove is settled.
UPDATE validation_sessions SET consumed_at = :now
WHERE medium = :medium AND canonical = :canonical AND purpose = :purpose AND consumed_at IS NULL;

-- name: close_additions(medium, canonical, owner, now)!
-- Close the sessions, of this account or without an owner, that would add an address again which the account has removed.
-- Another account's session stays open: if it closed, it would reveal that an account had the address.
UPDATE validation_sessions SET consumed_at = :now
WHERE medium = :medium AND canonical = :canonical AND purpose = 'add' AND owner IN ('', :owner) AND consumed_at IS NULL;

-- name: close_of_owner(owner, now)!
-- Close the open sessions of an account.
UPDATE validation_sessions SET consumed_at = :now WHERE owner = :owner AND owner <> '' AND consumed_at IS NULL;

-- name: delete_before(then, limit)!
-- Delete some of the sessions that expired before `then`.
DELETE FROM validation_sessions WHERE expires_at <= :then AND sid IN (
    SELECT sid FROM validation_sessions WHERE expires_at <= :then ORDER BY expires_at LIMIT :limit
);

-- name: use_remote(id_server, sid_hash, user_id, medium, canonical, used_at)!
-- Record a session of another identity server as used; touches no row if it was used before.
INSERT INTO remote_sessions (id_server, sid_hash, user_id, medium, canonical, used_at)
VALUES (:id_server, :sid_hash, :user_id, :medium, :canonical, :used_at)
ON CONFLICT (id_server, sid_hash) DO NOTHING;

-- name: forget_remote(user_id)!
-- Forget whose the used sessions of other identity servers were, and which address. They stay used.
UPDATE remote_sessions SET user_id = '', medium = '', canonical = '' WHERE user_id = :user_id AND user_id <> '';

-- name: of_owner(owner)
-- The validation sessions of an account, newest first.
SELECT
    sid, purpose, owner, medium, canonical, address, secret_hash, send_attempt, wrong_attempts, next_link,
    created_at, expires_at, validated_at, consumed_at
FROM validation_sessions WHERE owner = :owner AND owner <> '' ORDER BY created_at DESC, sid;

-- name: remote_of_user(user_id)
-- The addresses that an account proved by sessions of other identity servers, newest first.
SELECT id_server, medium, canonical, used_at FROM remote_sessions WHERE user_id = :user_id AND user_id <> ''
ORDER BY used_at DESC, id_server, canonical;
