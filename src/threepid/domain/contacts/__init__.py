"""Contacts of accounts, and what of them is bound at identity servers."""
