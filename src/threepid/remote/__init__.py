"""All outgoing HTTP calls."""
