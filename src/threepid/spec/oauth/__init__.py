"""The OAuth 2.0 API: what the specification and the RFCs say of it. https://spec.matrix.org/latest/client-server-api/#oauth-20-api."""
