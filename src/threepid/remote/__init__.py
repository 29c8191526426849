"""Everything that leaves the machine over HTTP."""
