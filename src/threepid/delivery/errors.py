"""Errors of deliveries. Each says whether and when to try again."""


class DeliveryError(Exception):
    """A message was not delivered, as far as known. The text is for operators and contains no address and no secret."""

    def __init__(self, cause: str, *, retry: bool, after: int = 0, rest: int | None = None) -> None:
        """`retry` is whether to try again, not sooner than after `after` milliseconds.

        `rest`, if not None, means that the destination failed, not the message: nothing is sent there for `rest`
        milliseconds, or for the pause in `traffic.RESTS` if that is longer.
        """
        super().__init__(cause)
        self.retry = retry
        self.after = after
        self.rest = rest


class BrokenOff(DeliveryError):
    """The delivery was cancelled while only the answer was due: the message may have arrived."""
