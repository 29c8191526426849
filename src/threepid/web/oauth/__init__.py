"""Pages on which people let apps into their accounts."""
