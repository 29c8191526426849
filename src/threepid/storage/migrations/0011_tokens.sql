-- Every token of an account belongs to the device that got it and is deleted with that device. Each user has a bounded number.
-- `number` counts the tokens of a user, or of a device, in order of creation, because two may have the same time.

-- The old login and OpenID tokens live for an hour at most and name no device: a client that still needs one requests another.
DROP TABLE login_tokens;
CREATE TABLE login_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX login_tokens_by_user ON login_tokens (user_id, number);
CREATE INDEX login_tokens_by_expiry ON login_tokens (expires_at);

DROP TABLE openid_tokens;
CREATE TABLE openid_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX openid_tokens_by_user ON openid_tokens (user_id, number);
CREATE INDEX openid_tokens_by_expiry ON openid_tokens (expires_at);

-- `device_id` is NULL for users of other homeservers, and for tokens that are older than this column: those are revoked with
-- all devices of their user. The newest 50 of each user stay.
CREATE TABLE kept_identity_tokens AS
SELECT token_hash, user_id, created_at, expires_at,
    ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY created_at, token_hash) AS number,
    ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY created_at DESC, token_hash DESC) AS age
FROM identity_tokens;
DROP TABLE identity_tokens;
CREATE TABLE identity_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT,
    number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
INSERT INTO identity_tokens (token_hash, user_id, number, created_at, expires_at)
SELECT token_hash, user_id, number, created_at, expires_at FROM kept_identity_tokens WHERE age <= 50;
DROP TABLE kept_identity_tokens;
CREATE INDEX identity_tokens_by_user ON identity_tokens (user_id, number);
CREATE INDEX identity_tokens_by_expiry ON identity_tokens (expires_at);

-- Access and refresh tokens that expired or were revoked while their device exists: the server answers with `soft_logout`.
CREATE TABLE ended_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX ended_tokens_by_device ON ended_tokens (user_id, device_id, number);
CREATE INDEX ended_tokens_by_time ON ended_tokens (ended_at);

-- The answer to the refresh that issued this token, for a client that repeats the refresh within seconds: both tokens, sealed
-- with a key that is made from the previous refresh token. `sealed_for` is a hash of that token and its caller.
ALTER TABLE refresh_tokens ADD COLUMN sealed_pair BYTES;
ALTER TABLE refresh_tokens ADD COLUMN sealed_for BYTES;
CREATE INDEX refresh_tokens_sealed ON refresh_tokens (created_at) WHERE sealed_pair IS NOT NULL;
