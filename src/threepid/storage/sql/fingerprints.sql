-- name: record(fingerprint, now)!
-- The first server on this database leaves the fingerprint of its secret; touches no row if there is one.
INSERT INTO vault_fingerprints (number, fingerprint, recorded_at) VALUES (1, :fingerprint, :now)
ON CONFLICT (number) DO NOTHING;

-- name: recorded()$
-- The fingerprint of the secret that this database is used with.
SELECT fingerprint FROM vault_fingerprints WHERE number = 1;

-- name: replace(old, new, now)!
-- An operator accepts another secret; touches no row if somebody else did meanwhile.
UPDATE vault_fingerprints SET fingerprint = :new, recorded_at = :now WHERE number = 1 AND fingerprint = :old;
