"""The console as a gateway."""

import sys


class Console:
    """Writes each SMS to standard error. For development only."""

    name = "console"

    async def send(self, to: str, text: str) -> None:
        """Write one SMS."""
        sys.stderr.write(f"\n--- A text to {to}. Development only: nothing was sent. ---\n{text}\n---\n")
        sys.stderr.flush()
