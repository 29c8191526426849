"""threepid: contacts of Matrix accounts, and the identity server that joins them to people."""

__version__ = "0.1.0"
