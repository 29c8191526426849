"""Copies this server's database into an empty one, on the same engine or on the other."""
