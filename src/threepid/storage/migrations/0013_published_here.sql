-- Whether an address was bound at this server itself, whatever its name was then.
-- `here_at` is when the address was bound at our own identity server; NULL for another server.
ALTER TABLE threepid_bindings ADD COLUMN here_at BIGINT;

-- An older row is ours if an association of ours was made within a second of it.
UPDATE threepid_bindings SET here_at = bound_at
WHERE EXISTS (
    SELECT 1 FROM associations
    WHERE associations.mxid = threepid_bindings.user_id AND associations.medium = threepid_bindings.medium
        AND associations.canonical = threepid_bindings.canonical
        AND associations.bound_at BETWEEN threepid_bindings.bound_at - 1000 AND threepid_bindings.bound_at + 1000
);
