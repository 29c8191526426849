-- What operators do outside of accounts, in the audit log.

-- What an import has changed since the audit log last had an entry about its end: a JSON object with numbers, '' for nothing. A run
-- that goes on after a killed one reports the changes of both.
ALTER TABLE imports ADD COLUMN changes TEXT NOT NULL DEFAULT '';
