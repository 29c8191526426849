-- What operators do outside of accounts, in the audit log.

-- What an import has changed since the audit log last had an entry about its end: a JSON object with numbers, '' for nothing. A run
-- that goes on after a killed one reports the changes of both.
ALTER TABLE imports ADD COLUMN changes TEXT NOT NULL DEFAULT '';

-- Entries of one kind about all accounts. The kinds left out are in every log and most of it, so that their newest entries are found
-- soon without an index. SQLite compares with `<>` much faster than with `NOT IN`.
CREATE INDEX audit_log_of_rare_kinds ON audit_log (kind, at, entry_id)
WHERE kind <> 'signed_in' AND kind <> 'signed_out' AND kind <> 'sign_in_failed' AND kind <> 'registered' AND kind <> 'contact_added';
