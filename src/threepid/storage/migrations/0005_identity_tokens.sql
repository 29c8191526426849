-- Access tokens of the identity server expire; the index finds the expired ones without a table scan.
CREATE INDEX identity_tokens_by_expiry ON identity_tokens (expires_at);
