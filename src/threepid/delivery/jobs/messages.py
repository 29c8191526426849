"""Mails and SMS: rendered, then sent through relays or gateways."""

from threepid.clock import Clock
from threepid.delivery.job import JobType
from threepid.delivery.mail.email import Mailer
from threepid.delivery.outcome import Receipt
from threepid.delivery.render import Renderer
from threepid.delivery.sms import SmsSender
from threepid.domain.addresses import Email, Phone
from threepid.storage.outbox import ClaimedJob


def mails(mailer: Mailer, renderer: Renderer, clock: Clock) -> JobType:
    """The job type of mails, which renders and sends them."""

    async def send(job: ClaimedJob) -> Receipt:
        return await mailer.deliver(job, renderer.mail(job, _age(job, clock)))

    return JobType(Email.channel, send, close=mailer.close)


def text_messages(sender: SmsSender, renderer: Renderer, clock: Clock) -> JobType:
    """The job type of SMS, which renders and sends them."""

    async def send(job: ClaimedJob) -> Receipt:
        return await sender.deliver(job, renderer.text(job, _age(job, clock)))

    return JobType(Phone.channel, send)


def _age(job: ClaimedJob, clock: Clock) -> int:
    """Milliseconds that the message has waited; never negative, so that a clock set back extends no code's lifetime."""
    return max(0, clock.now() - job.created_at)
