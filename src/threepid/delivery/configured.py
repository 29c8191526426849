"""The types of jobs that the configuration can deliver."""

from threepid.clock import Clock
from threepid.config import Config
from threepid.delivery.email import Mailer
from threepid.delivery.job import JobType
from threepid.delivery.jobs.callbacks import callbacks
from threepid.delivery.jobs.messages import mails, text_messages
from threepid.delivery.jobs.withdrawals import withdrawals
from threepid.delivery.render import Renderer
from threepid.delivery.sms import Texter
from threepid.domain.services import Services
from threepid.storage.engine.database import Database


def job_types(services: Services) -> list[JobType]:
    """The job types of both roles. Raises ConfigError for an unusable secret, TemplateError for an unusable template."""
    found = message_types(services.context.config, services.context.database, services.context.clock)
    if services.homeserver is not None:
        found.append(withdrawals(services.homeserver.bindings))
    if services.identity is not None:
        found.append(callbacks(services.identity.invites))
    return found


def message_types(settings: Config, database: Database, clock: Clock) -> list[JobType]:
    """The job types of mails and SMS. Raises ConfigError and TemplateError, like `job_types`."""
    renderer = Renderer(settings.web.brand_folder, contact=settings.web.contact_name)
    found = []
    if settings.email is not None:
        found.append(mails(Mailer(settings.email, database, clock), renderer, clock))
    if settings.sms is not None:
        found.append(text_messages(Texter(settings.sms, clock), renderer, clock))
    return found
