"""The fallback pages of User-Interactive Authentication."""
