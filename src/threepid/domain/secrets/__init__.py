"""Passwords, keys, and the server's own secret."""
