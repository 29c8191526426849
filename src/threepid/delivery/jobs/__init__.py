"""Calls to other servers that wait in the outbox."""
