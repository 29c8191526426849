"""The OpenAPI description of the endpoints, made of their declarations. https://spec.openapis.org/oas/v3.1.0."""
