"""The configuration: TOML and the environment, read into frozen Structs. Nothing else reads settings from them."""

from threepid.config.checks import check, warnings
from threepid.config.derived import (
    admin_networks,
    database_url,
    has_mailbox,
    identity_name,
    listen_address,
    trusted_proxies,
)
from threepid.config.environment import environment_warnings
from threepid.config.listen import Listen, UnixListen, tcp_address
from threepid.config.load import Secret, development, load, read_lines, read_secret
from threepid.config.problem import ConfigError, Problem, UnreadableConfig
from threepid.config.reference import all_settings, example, schema, transports
from threepid.config.sections import Config
from threepid.config.sections.accounts import Accounts, Captcha, Notice
from threepid.config.sections.apprise import AppriseTransport
from threepid.config.sections.database import Database, sqlite_file
from threepid.config.sections.delivery import Email, Sms
from threepid.config.sections.gateways import ConsoleTransport, HttpTransport, SmsTransport
from threepid.config.sections.homeserver import Homeserver
from threepid.config.sections.identity import Identity, IdentityV1
from threepid.config.sections.limits import Limit, Limits
from threepid.config.sections.oauth import OAuth
from threepid.config.sections.outbound import Outbound
from threepid.config.sections.policy import Policy
from threepid.config.sections.relays import (
    EmailTransport,
    FileTransport,
    MailboxTransport,
    SendmailTransport,
    SmtpTransport,
)
from threepid.config.sections.server import Server, Tls
from threepid.config.sections.telemetry import Telemetry
from threepid.config.sections.terms import TermsDocument, TermsText
from threepid.config.sections.web import Web
from threepid.config.shown import shown

__all__ = [
    "Accounts",
    "AppriseTransport",
    "Captcha",
    "Config",
    "ConfigError",
    "ConsoleTransport",
    "Database",
    "Email",
    "EmailTransport",
    "FileTransport",
    "Homeserver",
    "HttpTransport",
    "Identity",
    "IdentityV1",
    "Limit",
    "Limits",
    "Listen",
    "MailboxTransport",
    "Notice",
    "OAuth",
    "Outbound",
    "Policy",
    "Problem",
    "Secret",
    "SendmailTransport",
    "Server",
    "Sms",
    "SmsTransport",
    "SmtpTransport",
    "Telemetry",
    "TermsDocument",
    "TermsText",
    "Tls",
    "UnixListen",
    "UnreadableConfig",
    "Web",
    "admin_networks",
    "all_settings",
    "check",
    "database_url",
    "development",
    "environment_warnings",
    "example",
    "has_mailbox",
    "identity_name",
    "listen_address",
    "load",
    "read_lines",
    "read_secret",
    "schema",
    "shown",
    "sqlite_file",
    "tcp_address",
    "transports",
    "trusted_proxies",
    "warnings",
]
