-- Tokens of the identity server expire, and those that have are found without looking at all of them.
CREATE INDEX identity_tokens_by_expiry ON identity_tokens (expires_at);
