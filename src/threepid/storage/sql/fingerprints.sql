-- name: record(fingerprint, now)!
-- Record the fingerprint of the first server's secret; touches no row if one is recorded.
INSERT INTO vault_fingerprints (number, fingerprint, recorded_at) VALUES (1, :fingerprint, :now)
ON CONFLICT (number) DO NOTHING;

-- name: recorded()$
-- The fingerprint of the secret with which this database is used.
SELECT fingerprint FROM vault_fingerprints WHERE number = 1;

-- name: replace(old, new, now)!
-- Replace the fingerprint when an operator accepts another secret; touches no row if it has changed meanwhile.
UPDATE vault_fingerprints SET fingerprint = :new, recorded_at = :now WHERE number = 1 AND fingerprint = :old;
