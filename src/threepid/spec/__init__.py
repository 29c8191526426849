"""The Matrix specification as code: errors, types, endpoints, signatures. Pure: no input, no output, no clock."""
