"""How messages leave, by channel: what the configuration has, with the texts that belong to it."""

from threepid.clock import Clock
from threepid.config import Config
from threepid.delivery.email import Mailer
from threepid.delivery.render import Renderer
from threepid.delivery.sms import Texter
from threepid.delivery.worker import Send
from threepid.storage.engine.database import Database
from threepid.storage.outbox import Order


def senders(settings: Config, database: Database, clock: Clock) -> dict[str, Send]:
    """The senders of the configuration. Raises ConfigError or TemplateError for what cannot be used."""
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
