"""The OAuth 2.0 API. https://spec.matrix.org/latest/client-server-api/#oauth-20-api."""
