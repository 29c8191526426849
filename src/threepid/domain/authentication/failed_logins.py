"""Log lines for failed logins: cause, network and account, never what the caller typed. Their number is limited."""

from collections import Counter
from typing import Final

import structlog

from threepid.clock import MINUTE
from threepid.domain.context import Context
from threepid.domain.networks import network_of
from threepid.domain.sums import Kind, Sums

_log = structlog.get_logger()

LINES: Final = 120
"""Maximum number of lines that one process writes in a minute: at most 30 MB a day."""
LINES_OF_NETWORK: Final = 10
"""Maximum number of these lines about one network, so that one caller cannot hide the others."""


class FailedLogins:
    """Logs failed logins, up to a number of lines in a minute, and then logs how many it left out."""

    def __init__(self, context: Context, sums: Sums) -> None:
        """Start with no lines written. `sums` counts every failure for the audit log."""
        self._sums = sums
        self._context = context
        self._minute = -1
        self._written = 0
        self._of_network: Counter[str] = Counter()
        self._left_out = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Failed logins by way and cause."""

    def note(self, *, by: str, cause: str | None, client: str, user_id: str | None = None) -> None:
        """Log that a login by the method `by` failed for `cause`. `user_id` is an existing account, never the caller's input."""
        self._sums.count(Kind.LOGIN_FAILED, client)
        self.outcomes[by, cause or "too many guesses"] += 1
        minute = self._context.clock.now() // MINUTE
        if minute != self._minute:
            if self._left_out:
                _log.info("failed_logins_not_logged", count=self._left_out)
            self._minute, self._written, self._left_out = minute, 0, 0
            self._of_network.clear()
        network = "" if self._written >= LINES else network_of(client)
        if self._written >= LINES or self._of_network[network] >= LINES_OF_NETWORK:
            self._left_out += 1
            return
        self._written += 1
        self._of_network[network] += 1
        _log.info("login_failed", by=by, cause=cause or "too many guesses", network=network, user_id=user_id)
