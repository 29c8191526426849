"""Delivery of the jobs in the outbox: mails, SMS, and calls to other servers."""
