"""The Identity Service API: one module for each file of the specification."""
