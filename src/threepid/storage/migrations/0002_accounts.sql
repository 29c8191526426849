-- The whole account API: refresh and login tokens, when devices were last seen, profiles, registration tokens, accepted terms,
-- the flows of an authentication session, and how many of the codes sent to a phone prefix were entered.

-- `first_use_spends` is the hash of the refresh token that this access token was issued for, until its first use.
ALTER TABLE access_tokens ADD COLUMN refresh_hash BYTES;
ALTER TABLE access_tokens ADD COLUMN first_use_spends BYTES;
CREATE INDEX access_tokens_by_refresh ON access_tokens (refresh_hash) WHERE refresh_hash IS NOT NULL;
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE devices ADD COLUMN seen_at BIGINT;
ALTER TABLE devices ADD COLUMN seen_from TEXT;
ALTER TABLE devices ADD COLUMN user_agent TEXT;

-- One row for each refresh token of a device. `parent_hash` is the token that it was issued for. Reuse of a spent token is theft.
CREATE TABLE refresh_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    parent_hash BYTES,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at BIGINT,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_by_device ON refresh_tokens (user_id, device_id);
CREATE INDEX refresh_tokens_by_parent ON refresh_tokens (parent_hash) WHERE parent_hash IS NOT NULL;
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

-- Tokens for `m.login.token`: each is valid for one login of the account that made it.
CREATE TABLE login_tokens (
    token_hash BYTES NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);
CREATE INDEX login_tokens_by_user ON login_tokens (user_id);
CREATE INDEX login_tokens_by_expiry ON login_tokens (expires_at);

CREATE TABLE profiles (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (user_id) ON DELETE CASCADE,
    displayname TEXT,
    avatar_url TEXT
);

-- `hint` is the beginning of the token, by which operators know it; the token is stored as a keyed hash.
CREATE TABLE registration_tokens (
    token_hash TEXT NOT NULL PRIMARY KEY,
    hint TEXT NOT NULL UNIQUE,
    uses_allowed BIGINT,
    used BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);

-- Which user accepted which version of which document; on the identity server also users of other homeservers.
CREATE TABLE accepted_terms (
    user_id TEXT NOT NULL,
    document TEXT NOT NULL,
    version TEXT NOT NULL,
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, document, version)
);

-- The flows of the session's request, for the pages on which a stage can be completed.
ALTER TABLE uia_sessions ADD COLUMN flows TEXT NOT NULL DEFAULT '[]';
ALTER TABLE uia_sessions ADD COLUMN consumer TEXT NOT NULL DEFAULT '';

-- Number of codes sent to a phone prefix on a day, and how many were entered: few entered codes point to SMS pumping.
CREATE TABLE sms_prefixes (
    prefix TEXT NOT NULL,
    day BIGINT NOT NULL,
    sent BIGINT NOT NULL DEFAULT 0,
    confirmed BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (prefix, day)
);

-- Waiting unbind requests to identity servers.
CREATE INDEX outbox_withdrawals ON outbox (recipient) WHERE channel = 'unbind' AND sent_at IS NULL AND failed_at IS NULL;
