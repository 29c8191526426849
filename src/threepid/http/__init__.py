"""HTTP without the domain: requests, answers, parameters, forms, and the ASGI adapter."""
