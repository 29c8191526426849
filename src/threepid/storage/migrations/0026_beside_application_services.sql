-- What a homeserver beside us does without us, and sign-ins that it did not learn of.

-- The application service of the homeserver that owns the user. It makes and deletes the user's devices there, so that our list of
-- devices is not the whole one. NULL for people.
ALTER TABLE accounts ADD COLUMN application_service TEXT;

-- When the session of a device that its owner has allowed was opened. The row stays until the homeserver has the device: the device
-- can ask again if that fails.
ALTER TABLE oauth_device_grants ADD COLUMN opened_at BIGINT;
