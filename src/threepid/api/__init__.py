"""HTTP in, HTTP out: thin handlers over the domain; each module ends in ENDPOINTS."""
