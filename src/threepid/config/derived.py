"""Values derived from the settings."""

import ipaddress
from urllib.parse import urlsplit

from threepid.config.listen import Listen, UnixListen
from threepid.config.problem import ConfigError
from threepid.config.sections import Config
from threepid.config.sections.database import url_of
from threepid.config.sections.relays import MailboxTransport
from threepid.config.sections.server import listener


def listen_address(config: Config) -> Listen | UnixListen:
    """The address that the server listens on. Raises ConfigError."""
    try:
        return listener(config.server)
    except ValueError as error:
        raise ConfigError(f"[server] listen: {error}") from None


def identity_name(config: Config) -> str:
    """The name of the identity server, which clients send as `id_server`."""
    given = config.identity.name if config.identity else ""
    return given or urlsplit(config.server.public_base_url).netloc


def has_mailbox(config: Config) -> bool:
    """Does the server keep mails in the development mailbox?"""
    return config.email is not None and any(isinstance(via, MailboxTransport) for via in config.email.via)


def database_url(config: Config) -> str:
    """The URL of the database."""
    return url_of(config.database, config.server.data_dir)


def trusted_proxies(config: Config) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks whose `X-Forwarded-For` is trusted."""
    return [ipaddress.ip_network(network) for network in config.server.trusted_proxies]


def admin_networks(config: Config) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks whose callers may use the admin API."""
    return [ipaddress.ip_network(network) for network in config.admin.networks]
