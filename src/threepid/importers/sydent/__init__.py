"""Imports from a Sydent: its database is SQLite, its configuration an INI file with the signing key.

https://github.com/matrix-org/sydent
"""
