-- The OAuth 2.0 API. A session is a device that an app got by it: `oauth_sessions` binds the device to the app and to what the
-- owner has allowed. Its tokens are in the tables of all devices.

-- When an operator let the account ask for access to the administration of the homeserver.
ALTER TABLE accounts ADD COLUMN admin_at BIGINT;

-- Registered apps. The ID is a hash of the metadata, so equal metadata has one row. `used_at` is the latest registration or use.
CREATE TABLE oauth_clients (
    client_id TEXT NOT NULL PRIMARY KEY,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);
CREATE INDEX oauth_clients_by_use ON oauth_clients (used_at);

-- `grant_hash` is the hash of the authorization code or device code that opened the session.
CREATE TABLE oauth_sessions (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES oauth_clients (client_id),
    scope TEXT NOT NULL,
    grant_hash BYTES NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id),
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX oauth_sessions_by_client ON oauth_sessions (client_id);

-- Authorization codes. A used one stays for a while, because its second use ends the session that the first one opened.
CREATE TABLE oauth_codes (
    code_hash BYTES NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES oauth_clients (client_id),
    user_id TEXT NOT NULL REFERENCES accounts (user_id) ON DELETE CASCADE,
    session_id TEXT NOT NULL REFERENCES web_sessions (session_id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    scope TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX oauth_codes_by_user ON oauth_codes (user_id);
CREATE INDEX oauth_codes_by_client ON oauth_codes (client_id);
CREATE INDEX oauth_codes_by_session ON oauth_codes (session_id);
CREATE INDEX oauth_codes_by_expiry ON oauth_codes (expires_at);

-- Devices that wait until their owner allows them on another one. People type the user code, of which a keyed hash is stored;
-- `origin` says from where the device asks. `user_id` is who decided.
CREATE TABLE oauth_device_grants (
    device_hash BYTES NOT NULL PRIMARY KEY,
    user_code_hash BYTES NOT NULL UNIQUE,
    client_id TEXT NOT NULL REFERENCES oauth_clients (client_id),
    scope TEXT NOT NULL,
    origin TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    poll_interval BIGINT NOT NULL,
    polled_at BIGINT,
    user_id TEXT REFERENCES accounts (user_id) ON DELETE CASCADE,
    allowed_at BIGINT,
    denied_at BIGINT
);
CREATE INDEX oauth_device_grants_by_user ON oauth_device_grants (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX oauth_device_grants_by_client ON oauth_device_grants (client_id);
CREATE INDEX oauth_device_grants_by_expiry ON oauth_device_grants (expires_at);
