-- The networks that an account knows, found by an index; and the logins that a finished registration may repeat.

-- The network of `seen_from`, as limits count it. An IPv4 address is a network by itself; a device on IPv6 gets its network
-- with its next request.
ALTER TABLE devices ADD COLUMN network TEXT;
UPDATE devices SET network = seen_from WHERE seen_from NOT LIKE '%:%';
CREATE INDEX devices_by_network ON devices (user_id, network);

-- How often a finished registration session may still log in the device that it opened. The row is deleted with either.
CREATE TABLE registration_repeats (
    id_hash BYTES NOT NULL PRIMARY KEY REFERENCES uia_sessions (id_hash) ON DELETE CASCADE,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    repeats_left BIGINT NOT NULL,
    FOREIGN KEY (user_id, device_id) REFERENCES devices (user_id, device_id) ON DELETE CASCADE
);
CREATE INDEX registration_repeats_by_device ON registration_repeats (user_id, device_id);
