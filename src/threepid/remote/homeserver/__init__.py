"""Calls to the homeserver beside us."""
