-- What would come too late is found without looking at everything that waits.
CREATE INDEX outbox_expiring ON outbox (expires_at) WHERE sent_at IS NULL AND failed_at IS NULL;
