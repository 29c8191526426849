"""Contacts of accounts, and their associations at identity servers."""
