"""Passwords, signing keys and the server's secret."""
