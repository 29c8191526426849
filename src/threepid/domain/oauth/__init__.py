"""The OAuth 2.0 API: apps, what their people allow them, and their sessions."""
