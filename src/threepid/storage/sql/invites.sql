-- name: hold_address(medium, canonical)$
-- One at a time stores invitations to an address or publishes it. SQLite has one writer anyway.
SELECT CAST(:medium AS TEXT) || CAST(:canonical AS TEXT);

-- name: hold_address_on_postgresql(medium, canonical)$
-- Here it needs a lock until the end of the transaction: neither side would see what the other has not committed yet.
SELECT CAST(pg_advisory_xact_lock(hashtextextended(CAST(:medium AS TEXT) || ' ' || CAST(:canonical AS TEXT), 0)) AS TEXT);

-- name: insert(invite_id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at)!
-- A new invitation.
INSERT INTO invites (id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at)
VALUES (:invite_id, :token, :medium, :canonical, :room_id, :sender, :public_key, :created_at, :expires_at);

-- name: by_token(token)^
-- One invitation.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE token = :token;

-- name: waiting(medium, canonical, mxid, now)
-- Invitations to an address that `mxid` is not being told of already, oldest first.
SELECT id FROM invites
WHERE medium = :medium AND canonical = :canonical AND delivered_at IS NULL AND cancelled_at IS NULL AND expires_at > :now
    AND NOT EXISTS (
        SELECT 1 FROM outbox
        WHERE outbox.id = invites.order_id AND invites.bound_to = :mxid
            AND sent_at IS NULL AND failed_at IS NULL AND outbox.expires_at > :now
    )
ORDER BY created_at, id;

-- name: assign(invite_id, mxid, order_id)!
-- `mxid` is to be told of an invitation, by this order and no other.
UPDATE invites SET bound_to = :mxid, order_id = :order_id WHERE id = :invite_id;

-- name: settle(invite_id, mxid, now)!
-- There is nobody to tell: `mxid` is ours, and the invitation is done with.
UPDATE invites SET bound_to = :mxid, delivered_at = :now WHERE id = :invite_id;

-- name: of_order(order_id)
-- The invitations that an order is to tell of, oldest first.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE order_id = :order_id AND delivered_at IS NULL AND cancelled_at IS NULL
ORDER BY created_at, id;

-- name: delivered(invite_id, order_id, now)!
-- The homeserver took note, unless the invitation was cancelled or went to another order in the meantime.
UPDATE invites SET delivered_at = :now
WHERE id = :invite_id AND order_id = :order_id AND delivered_at IS NULL AND cancelled_at IS NULL;

-- name: sign_for(token, mxid, public_key, now)!
-- The invitation is `mxid`'s from now on, if it is in force, has this key, and is nobody else's already.
UPDATE invites SET signed_for = :mxid
WHERE token = :token AND public_key = :public_key AND expires_at > :now AND cancelled_at IS NULL
    AND (signed_for IS NULL OR signed_for = :mxid) AND (delivered_at IS NULL OR bound_to = :mxid);

-- name: cancel(invite_id, now)!
-- It is in force no more; touches no row if it was settled already.
UPDATE invites SET cancelled_at = :now WHERE id = :invite_id AND cancelled_at IS NULL AND delivered_at IS NULL;

-- name: end_key(invite_id, now)!
-- The key of an invitation is in force no more.
UPDATE ephemeral_keys SET expires_at = :now
WHERE public_key = (SELECT public_key FROM invites WHERE id = :invite_id) AND expires_at > :now;

-- name: get(invite_id)^
-- One invitation by the id that operators know it by.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE id = :invite_id;

-- name: after(created_at, invite_id, count)
-- A page of invitations in the order of their time.
SELECT id, token, medium, canonical, room_id, sender, public_key, created_at, expires_at, cancelled_at, bound_to,
    delivered_at, signed_for
FROM invites WHERE created_at > :created_at OR (created_at = :created_at AND id > :invite_id)
ORDER BY created_at, id LIMIT :count;

-- name: delete_before(then)!
-- Forget invitations that expired before `then`.
DELETE FROM invites WHERE expires_at <= :then;

-- name: delete_keys_before(then)!
-- Forget short-lived keys that expired before `then`.
DELETE FROM ephemeral_keys WHERE expires_at <= :then;

-- name: insert_opt_out(address_hash, created_at)!
-- The owner of an address wants no more invitations; the same again is no error.
INSERT INTO invite_opt_outs (address_hash, created_at) VALUES (:address_hash, :created_at)
ON CONFLICT (address_hash) DO NOTHING;

-- name: opted_out(address_hash)$
-- Does the owner of this address want no invitations?
SELECT 1 FROM invite_opt_outs WHERE address_hash = :address_hash;
