-- Email addresses from which mails come back, or whose owners reported one as spam. `canonical` is the address in its canonical form,
-- `kind` is `bounce` or `complaint`, `status` the code of RFC 3463 or the feedback type of RFC 5965, `message_id` the job of the outbox
-- that the latest report is about, which may be deleted by now. `first_at` is when the first report came, `latest_at` when the latest did.
CREATE TABLE suppressions (
    canonical TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    message_id TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    latest_at BIGINT NOT NULL
);

-- When the report about a mail counted, and its status: a second report about the same mail does not count.
ALTER TABLE outbox ADD COLUMN returned_at BIGINT;
ALTER TABLE outbox ADD COLUMN returned_status TEXT;
