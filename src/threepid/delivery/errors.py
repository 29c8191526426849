"""What can go wrong with a delivery. The error carries the decision."""


class DeliveryError(Exception):
    """A message was not delivered, for all we know. The text is for operators and holds no address and no secret."""

    def __init__(self, cause: str, *, retry: bool, after: int = 0) -> None:
        """Not delivered because of `cause`; `retry` says whether to try again, not sooner than `after` milliseconds."""
        super().__init__(cause)
        self.retry = retry
        self.after = after
