"""The types of jobs that the configuration can deliver."""

from collections.abc import Callable, Iterator
from functools import cache

from threepid.clock import Clock
from threepid.config import Config, has_mailbox
from threepid.delivery.job import JobType
from threepid.delivery.jobs.callbacks import callbacks
from threepid.delivery.jobs.messages import mails, text_messages
from threepid.delivery.jobs.notices import notices
from threepid.delivery.jobs.provisioning import provisioning_jobs
from threepid.delivery.jobs.unbinds import unbinds
from threepid.delivery.local import DevelopmentMailbox
from threepid.delivery.mail.email import Mailer
from threepid.delivery.preview import previews
from threepid.delivery.render import Renderer
from threepid.delivery.sms import SmsSender
from threepid.domain.mailbox import Preview, Previews
from threepid.domain.services import Services
from threepid.storage.engine.database import Database


def job_types(services: Services) -> list[JobType]:
    """The job types of both roles. Raises ConfigError for an unusable secret, TemplateError for an unusable template."""
    context = services.context
    found = message_types(context.config, context.database, context.clock, services.bounces.envelope.sender)
    if services.homeserver is not None:
        found.append(notices(services.homeserver.notices))
        found.append(unbinds(services.homeserver.bindings.requests))
        found.append(provisioning_jobs(services.homeserver.provisioning.jobs))
    if services.identity is not None:
        found.append(callbacks(services.identity.callbacks))
    return found


def message_types(
    settings: Config, database: Database, clock: Clock, envelope_sender: Callable[[str], str]
) -> list[JobType]:
    """The job types of mails and SMS; `Mailer` describes `envelope_sender`. Raises as `job_types` does."""
    renderer = _renderer(settings)
    found = []
    if settings.email is not None:
        found.append(mails(Mailer(settings.email, database, clock, envelope_sender), renderer, clock))
    if settings.sms is not None:
        mailbox = DevelopmentMailbox(database) if has_mailbox(settings) else None
        found.append(text_messages(SmsSender(settings.sms, clock, mailbox), renderer, clock))
    return found


def previews_of(settings: Config) -> Previews:
    """The previews of all messages, for the development mailbox. The templates are compiled when somebody first looks at them."""
    renderer = cache(lambda: _renderer(settings))

    def show(languages: list[str], names: list[str]) -> Iterator[Preview]:
        return previews(renderer(), languages, names)

    return show


def _renderer(settings: Config) -> Renderer:
    return Renderer(settings.web.brand_folder, contact=settings.web.contact_name)
