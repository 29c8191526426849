"""Takes reports about mails in, however they arrive: over HTTP, from a maildir or from a mail server's pipe."""

import asyncio
import hmac
from enum import Enum
from pathlib import Path
from typing import Final

import structlog

from threepid import config
from threepid.config import ConfigError
from threepid.domain.addresses import Email, InvalidAddress, parse_email
from threepid.domain.bounces import reports
from threepid.domain.bounces.envelope import Envelope
from threepid.domain.bounces.reports import MOST_BYTES, Report
from threepid.domain.context import Context
from threepid.domain.limits import take_bounce
from threepid.domain.suppressions import Kind
from threepid.spec.errors import Unauthorized
from threepid.storage import outbox, suppressions, threepids, validations
from threepid.storage.engine.database import Tx

__all__ = ["LEAST_SECRET", "MOST_BYTES", "Bounces", "Outcome"]

_log = structlog.get_logger()

LEAST_SECRET: Final = 16
"""Minimum length of the secret of the HTTP endpoint."""


class Outcome(Enum):
    """What became of a mail to the bounce address."""

    COUNTED = "counted"
    IGNORED = "ignored"
    """A report that is about no mail of ours, about one that was reported before, or about a passing trouble."""
    NO_REPORT = "no report"


class Bounces:
    """Records the addresses from which mails come back, or whose owners complain."""

    def __init__(self, context: Context) -> None:
        """Use the bounce address of the configuration. Raises ConfigError for an unreadable or short secret."""
        self._context = context
        self._secret = _secret(context)
        self.envelope: Final = Envelope(context)

    def check_secret(self, secret: str | None) -> None:
        """Raise Unauthorized if a caller over HTTP does not have the secret. Compares in constant time."""
        given = (secret or "").encode("utf-8", "surrogatepass")
        if not self._secret or not hmac.compare_digest(self._secret.encode("utf-8"), given):
            raise Unauthorized

    async def take(self, raw: bytes, *, sent_to: str = "", client: str | None = None) -> Outcome:
        """Take a mail in. Never raises because of what is in it.

        `sent_to` is the address that it was sent to, if that is known from elsewhere; `client` the caller's IP address, over
        HTTP. Raises LimitExceeded and StorageError; then the same mail can be taken again.
        """
        report = await asyncio.to_thread(reports.parse, raw)
        job_id = None if report is None else self.envelope.job_of((sent_to, *report.addresses))
        now = self._context.clock.now()

        def step(tx: Tx) -> Outcome:
            if client is not None:
                take_bounce(tx, self._context, client=client)
            if report is None:
                return Outcome.NO_REPORT
            counted = job_id is not None and report.counts and self._record(tx, report, job_id, now)
            return Outcome.COUNTED if counted else Outcome.IGNORED

        if client is None and (report is None or job_id is None):  # a flood of forged reports costs no transactions
            return Outcome.NO_REPORT if report is None else Outcome.IGNORED
        outcome = await self._context.database.write(step)
        if report is not None and job_id is not None:
            _log.info("report_taken", kind=report.kind, status=report.status, order=job_id, outcome=outcome.value)
        return outcome

    def _record(self, tx: Tx, report: Report, job_id: str, now: int) -> bool:
        """Record the report for the address of its mail; False if it does not count."""
        job = outbox.get(tx, job_id)
        if job is None or not outbox.returned(tx, job_id, status=report.status, now=now):
            return False  # the mail is long gone, was never sent, or has had its report
        try:
            canonical = parse_email(job.recipient).canonical
        except InvalidAddress:
            return False
        if report.kind is Kind.BOUNCE and _was_proved(tx, canonical, job.created_at):
            return False  # a later mail has arrived
        suppressions.record(tx, canonical=canonical, kind=report.kind, status=report.status, message_id=job_id, now=now)
        return True


def _was_proved(tx: Tx, canonical: str, since: int) -> bool:
    """Did somebody prove the address after `since` by a code or link that was mailed to it?"""
    contact = threepids.get(tx, Email.medium, canonical)
    is_newer = contact is not None and contact.validated_at > since
    return is_newer or validations.was_validated(tx, Email.medium, canonical, since)


def _secret(context: Context) -> str:
    settings = context.config.email
    if settings is None or not settings.bounce_secret_file:
        return ""
    secret = config.read_secret(Path(settings.bounce_secret_file)).reveal()
    if len(secret) < LEAST_SECRET:
        raise ConfigError(f"{settings.bounce_secret_file}: a secret has at least {LEAST_SECRET} characters")
    return secret
