-- Invitations that wait until their address is bound, and addresses that have opted out of invitations.

-- Every member of the room sees `token`. `bound_to` is the user whose homeserver is to be told, and `order_id` the outbox job
-- that does so; `signed_for` is the user for whom the invitation was signed with its own key (`public_key`).
CREATE TABLE invites (
    id TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    medium TEXT NOT NULL,
    canonical TEXT NOT NULL,
    room_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    public_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    cancelled_at BIGINT,
    bound_to TEXT,
    order_id TEXT,
    delivered_at BIGINT,
    signed_for TEXT
);
CREATE INDEX invites_waiting ON invites (medium, canonical) WHERE delivered_at IS NULL AND cancelled_at IS NULL;
CREATE INDEX invites_by_order ON invites (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX invites_by_expiry ON invites (expires_at);
CREATE INDEX invites_by_time ON invites (created_at, id);
CREATE INDEX ephemeral_keys_by_expiry ON ephemeral_keys (expires_at);

-- Keyed hashes of addresses whose owners want no more invitations from this server.
CREATE TABLE invite_opt_outs (
    address_hash TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);
