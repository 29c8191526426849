-- Which of the places where an address was published is this server itself, whatever it was called then.
-- `here_at` is when it was published at our own identity server; NULL: at another one.
ALTER TABLE threepid_bindings ADD COLUMN here_at BIGINT;

-- Of those of before, the ones that came about together with an association of ours.
UPDATE threepid_bindings SET here_at = bound_at
WHERE EXISTS (
    SELECT 1 FROM associations
    WHERE associations.mxid = threepid_bindings.user_id AND associations.medium = threepid_bindings.medium
        AND associations.canonical = threepid_bindings.canonical
        AND associations.bound_at BETWEEN threepid_bindings.bound_at - 1000 AND threepid_bindings.bound_at + 1000
);
