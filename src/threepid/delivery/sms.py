"""SMS: sent through the first gateway of the route that accepts it.

An SMS costs money, and a second one confuses. So an SMS is sent again, by any gateway, only if it was certainly not sent before.
"""

from threepid.clock import Clock
from threepid.config import AppriseTransport, ConsoleTransport, HttpTransport, Sms, SmsTransport
from threepid.config.sections.gateways import route
from threepid.delivery.errors import DeliveryError
from threepid.delivery.gateways.apprise import AppriseGateway
from threepid.delivery.gateways.console import Console
from threepid.delivery.gateways.gateway import Gateway, InDoubt
from threepid.delivery.gateways.http import HttpGateway
from threepid.delivery.local import DevelopmentMailbox
from threepid.delivery.outcome import Cause, Failure, Receipt
from threepid.delivery.traffic import Rests
from threepid.domain.addresses import InvalidAddress, parse_phone
from threepid.storage.outbox import ClaimedJob


class SmsSender:
    """Sends each SMS through the first gateway that accepts it."""

    def __init__(self, settings: Sms, clock: Clock | None = None, mailbox: DevelopmentMailbox | None = None) -> None:
        """Use the gateways of the configuration in their order. Raises ConfigError for an unusable secret or URL.

        With `clock`, an unreachable gateway is skipped for a while: its SMS go to the next gateway at once. SMS of the
        console are also kept in `mailbox`.
        """
        self._mailbox = mailbox
        self._rests = Rests(clock) if clock else None
        self._gateways: list[Gateway] = [_gateway(via) for via in settings.via]
        self._routes = {country: route(settings.via, country) for country in settings.countries}

    async def deliver(self, job: ClaimedJob, text: str) -> Receipt:
        """Send one SMS; returns which gateway took it. Raises DeliveryError with the cause at each gateway tried.

        The country is checked again: the setting may have changed while the SMS waited in the outbox.
        """
        try:
            phone = parse_phone(job.recipient)
        except InvalidAddress:
            raise DeliveryError("the recipient is not a phone number", retry=False, cause=Cause.REJECTED) from None
        if phone.address != job.recipient or phone.region not in self._routes:
            raise DeliveryError(
                f"numbers of {phone.region or 'no country'} get no SMS", retry=False, cause=Cause.REJECTED
            )
        failures: list[Failure] = []
        cause = Cause.INTERNAL
        retry = False
        after = 0
        for gateway in (self._gateways[index] for index in self._routes[phone.region]):
            try:
                await self._ask(gateway, phone.address, text)
                if self._mailbox is not None and isinstance(gateway, Console):
                    await self._mailbox.keep_sms(job, text)
            except DeliveryError as failure:
                failures.append(Failure(gateway.name, failure.cause, str(failure)))
                cause = failure.cause
                if isinstance(failure, InDoubt):
                    retry = False
                    break
                if failure.retry:
                    # The job is retried as soon as any gateway may be tried again.
                    after = min(after, failure.after) if retry else failure.after
                    retry = True
            else:
                return Receipt(gateway.name, tuple(failures))
        causes = "; ".join(map(str, failures)) or f"no gateway takes numbers of {phone.region}"
        raise DeliveryError(causes, retry=retry, after=after, cause=cause, failures=failures)

    async def _ask(self, gateway: Gateway, to: str, text: str) -> None:
        if self._rests is None:
            await gateway.send(to, text)
            return
        if left := self._rests.left(gateway.name):
            raise DeliveryError("could not be reached just now", retry=True, after=left, cause=Cause.RESTING)
        try:
            await gateway.send(to, text)
        except DeliveryError as failure:
            if failure.rest is not None:
                self._rests.begin(gateway.name, failure.rest)
            raise
        self._rests.end(gateway.name)


def _gateway(via: SmsTransport) -> Gateway:
    if isinstance(via, ConsoleTransport):
        return Console()
    if isinstance(via, HttpTransport):
        return HttpGateway(via)
    if isinstance(via, AppriseTransport):
        return AppriseGateway(via)
    raise TypeError(via)
