-- The request that caused a job: its ID joins the job's log lines with those of the request.
ALTER TABLE outbox ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
