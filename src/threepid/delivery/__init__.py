"""An order out of the outbox: rendered and handed to a relay or a gateway."""
