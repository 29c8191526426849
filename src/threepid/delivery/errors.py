"""What can go wrong with a delivery. The error carries the decision."""


class DeliveryError(Exception):
    """A message was not delivered, for all we know. The text is for operators and holds no address and no secret."""

    def __init__(self, cause: str, *, retry: bool, after: int = 0, rest: int | None = None) -> None:
        """Not delivered because of `cause`; `retry` says whether to try again, not sooner than `after` milliseconds.

        With `rest` the fault is the destination's and not the message's: nothing is sent there for so many milliseconds,
        or for as long as the table says if that is longer.
        """
        super().__init__(cause)
        self.retry = retry
        self.after = after
        self.rest = rest


class BrokenOff(DeliveryError):
    """We broke the delivery off while its answer was awaited: the message may have arrived."""
