"""The tables of the configuration file: one module for each table, with its Struct and its rules."""

from msgspec import field

from threepid.config.section import Section
from threepid.config.sections.accounts import Accounts
from threepid.config.sections.admin import Admin
from threepid.config.sections.audit import Audit
from threepid.config.sections.database import Database
from threepid.config.sections.delivery import Email, Sms
from threepid.config.sections.homeserver import Homeserver
from threepid.config.sections.identity import Identity
from threepid.config.sections.limits import Limits
from threepid.config.sections.oauth import OAuth
from threepid.config.sections.outbound import Outbound
from threepid.config.sections.policy import Policy
from threepid.config.sections.retention import Retention
from threepid.config.sections.server import Server
from threepid.config.sections.telemetry import Telemetry
from threepid.config.sections.web import Web


class Config(Section, frozen=True):
    """The whole configuration file."""

    server: Server = field(default_factory=Server)
    database: Database = field(default_factory=Database)
    accounts: Accounts | None = None
    oauth: OAuth = field(default_factory=OAuth)
    identity: Identity | None = None
    homeserver: Homeserver | None = None
    email: Email | None = None
    sms: Sms | None = None
    outbound: Outbound = field(default_factory=Outbound)
    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    web: Web = field(default_factory=Web)
    admin: Admin = field(default_factory=Admin)
    audit: Audit = field(default_factory=Audit)
    retention: Retention = field(default_factory=Retention)
    telemetry: Telemetry = field(default_factory=Telemetry)
