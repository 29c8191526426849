"""The homeserver's accounts, and their devices and tokens."""
