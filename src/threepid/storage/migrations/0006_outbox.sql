-- The index finds the expired jobs without reading all waiting jobs.
CREATE INDEX outbox_expiring ON outbox (expires_at) WHERE sent_at IS NULL AND failed_at IS NULL;
