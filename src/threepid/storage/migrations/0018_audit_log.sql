-- What happened to accounts: the security log that people see, and operators. Rows are only added, and deleted by age. There is no
-- foreign key, because the end of an account is part of its log. `number` counts the entries of an account, because two may have the
-- same time. `origin` says when, from which network and with which program,
-- `caller_kind` who did it: `owner`, `operator`, `server` or `stranger` (a failed sign-in). `details` is a JSON object without secrets.
CREATE TABLE audit_log (
    entry_id TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    user_id TEXT NOT NULL,
    caller_kind TEXT NOT NULL,
    caller TEXT NOT NULL,
    origin TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX audit_log_by_user ON audit_log (user_id, number, entry_id);
CREATE INDEX audit_log_by_kind ON audit_log (user_id, kind, at);
CREATE INDEX audit_log_by_age ON audit_log (at);
