"""The JSON APIs: thin endpoint handlers over the domain. Each module ends in ENDPOINTS."""
