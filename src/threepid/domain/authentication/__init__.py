"""User-Interactive Authentication."""
