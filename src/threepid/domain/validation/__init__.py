"""Validation of addresses."""
