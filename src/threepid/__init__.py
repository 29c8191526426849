"""threepid: a Matrix server for accounts and their contacts, and an identity server."""

__version__ = "0.2.0"
