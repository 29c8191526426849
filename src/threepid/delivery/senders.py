"""How messages leave, by channel: what the configuration has, with the texts that belong to it."""

from threepid.clock import Clock
from threepid.config import Config
from threepid.delivery.email import Mailer
from threepid.delivery.jobs.callbacks import by_callback
from threepid.delivery.jobs.withdrawals import by_signed_request
from threepid.delivery.render import Renderer
from threepid.delivery.sms import Texter
from threepid.delivery.worker import Send
from threepid.domain.contacts import bindings
from threepid.domain.identity import invites
from threepid.domain.services import Services
from threepid.storage.engine.database import Database
from threepid.storage.outbox import Order


def configured_senders(services: Services) -> dict[str, Send]:
    """The senders of both servers, by channel. Raises ConfigError or TemplateError for what cannot be used."""
    found = message_senders(services.context.config, services.context.database, services.context.clock)
    if services.homeserver is not None:
        found[bindings.CHANNEL] = by_signed_request(services.homeserver.bindings)
    if services.identity is not None:
        found[invites.CHANNEL] = by_callback(services.identity.invites, services.context.clock)
    return found


def message_senders(settings: Config, database: Database, clock: Clock) -> dict[str, Send]:
    """The senders of mails and SMS, by channel. Raises ConfigError or TemplateError for what cannot be used."""
    renderer = Renderer(settings.web.template_dir)
    found = {}
    if settings.email is not None:
        found["email"] = by_mail(Mailer(settings.email, database), renderer, clock)
    if settings.sms is not None:
        found["sms"] = by_text(Texter(settings.sms, clock), renderer, clock)
    return found


def by_mail(mailer: Mailer, renderer: Renderer, clock: Clock) -> Send:
    """Renders and sends mails."""

    async def send(order: Order) -> None:
        await mailer.deliver(order, renderer.mail(order, _age(order, clock)))

    return send


def by_text(texter: Texter, renderer: Renderer, clock: Clock) -> Send:
    """Renders and sends texts to phones."""

    async def send(order: Order) -> None:
        await texter.deliver(order, renderer.text(order, _age(order, clock)))

    return send


def _age(order: Order, clock: Clock) -> int:
    """How long it has waited; a clock that was set back makes no code live longer."""
    return max(0, clock.now() - order.created_at)
