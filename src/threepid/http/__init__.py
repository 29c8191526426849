"""HTTP: requests, answers, authentication, parameters, forms, and the ASGI application."""
