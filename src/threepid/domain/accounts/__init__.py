"""Accounts of the homeserver side, and their devices and tokens."""
