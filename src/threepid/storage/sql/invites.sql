-- name: hold_address(medium, canonical)$
-- Do nothing: SQLite has one writer, so only one transaction at a time stores invitations to an address or binds it.
SELECT CAST(:medium AS TEXT) || CAST(:canonical AS TEXT);

-- name: hold_address_on_postgresql(medium, canonical)$
-- Hold an advisory lock until the transaction ends: neither side would see what the other has not committed yet.
SELECT CAST(pg_advisory_xact_lock(hashtextextended(CAST(:medium AS TEXT) || ' ' || CAST(:canonical AS TEXT), 0)) AS TEXT);

-- name: insert(invite_id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at)!
-- Insert an invitation.
INSERT INTO invites (id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at)
VALUES (:invite_id, :token, :medium, :canonical, :room_id, :sender, :public_key, :created_at, :expires_at);

-- name: by_token(token)^
-- The invitation with this token.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE token = :token;

-- name: waiting(medium, canonical, mxid, now)
-- The waiting invitations to an address, oldest first, without those that a job is telling `mxid` of.
SELECT id FROM invites
WHERE medium = :medium AND canonical = :canonical AND delivered_at IS NULL AND cancelled_at IS NULL AND expires_at > :now
    AND NOT EXISTS (
        SELECT 1 FROM outbox
        WHERE outbox.id = invites.order_id AND invites.bound_to = :mxid
            AND sent_at IS NULL AND failed_at IS NULL AND outbox.expires_at > :now
    )
ORDER BY created_at, id;

-- name: assign(invite_id, mxid, job_id)!
-- Let this job in the outbox, and no other, tell `mxid` of an invitation.
UPDATE invites SET bound_to = :mxid, order_id = :job_id WHERE id = :invite_id;

-- name: settle(invite_id, mxid, now)!
-- Mark an invitation as delivered without a job, because `mxid` is a user of this server.
UPDATE invites SET bound_to = :mxid, delivered_at = :now WHERE id = :invite_id;

-- name: of_job(job_id)
-- The invitations that a job has yet to deliver, oldest first.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE order_id = :job_id AND delivered_at IS NULL AND cancelled_at IS NULL
ORDER BY created_at, id;

-- name: delivered(invite_id, job_id, now)!
-- Mark an invitation as delivered, unless it was cancelled or assigned to another job meanwhile.
UPDATE invites SET delivered_at = :now
WHERE id = :invite_id AND order_id = :job_id AND delivered_at IS NULL AND cancelled_at IS NULL;

-- name: sign_for(token, mxid, public_key, now)!
-- Give an invitation to `mxid`, if it is in force, has this key, and does not belong to another user. An imported invitation
-- whose key is not known (the empty text) keeps the first key of an invitation that it is signed with.
UPDATE invites SET signed_for = :mxid, public_key = :public_key
WHERE token = :token AND expires_at > :now AND cancelled_at IS NULL
    AND (public_key = :public_key OR (public_key = '' AND EXISTS (
        SELECT 1 FROM ephemeral_keys WHERE ephemeral_keys.public_key = :public_key AND ephemeral_keys.expires_at > :now
    )))
    AND (signed_for IS NULL OR signed_for = :mxid) AND (delivered_at IS NULL OR bound_to = :mxid);

-- name: cancel(invite_id, now)!
-- Cancel an invitation; touches no row if it was delivered or cancelled before.
UPDATE invites SET cancelled_at = :now WHERE id = :invite_id AND cancelled_at IS NULL AND delivered_at IS NULL;

-- name: end_key(invite_id, now)!
-- Expire the key of an invitation.
UPDATE ephemeral_keys SET expires_at = :now
WHERE public_key = (SELECT public_key FROM invites WHERE id = :invite_id) AND expires_at > :now;

-- name: get(invite_id)^
-- The invitation with this ID, by which operators know it.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE id = :invite_id;

-- name: after(created_at, invite_id, count)
-- A page of invitations, oldest first.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE (created_at, id) > (:created_at, :invite_id)
ORDER BY created_at, id LIMIT :count;

-- name: delete_before(then, at_most)!
-- Delete invitations that expired before `then`.
DELETE FROM invites WHERE id IN (
    SELECT id FROM invites
    WHERE expires_at <= :then LIMIT :at_most
);

-- name: delete_keys_before(then, at_most)!
-- Delete short-lived keys that expired before `then`.
DELETE FROM ephemeral_keys WHERE public_key IN (
    SELECT public_key FROM ephemeral_keys
    WHERE expires_at <= :then LIMIT :at_most
);

-- name: insert_opt_out(address_hash, created_at)!
-- Record that the owner of an address wants no more invitations; a repetition is no error.
INSERT INTO invite_opt_outs (address_hash, created_at) VALUES (:address_hash, :created_at)
ON CONFLICT (address_hash) DO NOTHING;

-- name: opted_out(address_hash)$
-- Does the owner of this address want no invitations?
SELECT 1 FROM invite_opt_outs WHERE address_hash = :address_hash;

-- name: of_address(medium, canonical, created_at, invite_id, count)
-- A page of invitations to one address, newest first.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE medium = :medium AND canonical = :canonical AND (created_at, id) < (:created_at, :invite_id)
ORDER BY created_at DESC, id DESC LIMIT :count;

-- name: of_user(user_id, count)
-- Invitations that a user sent or got, newest first. It reads the whole table.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE sender = :user_id OR bound_to = :user_id OR signed_for = :user_id
ORDER BY created_at DESC, id DESC LIMIT :count;
