"""What cannot be safe, and what to change."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

import phonenumbers

from threepid.config import files, gateway, relays
from threepid.config.load import ConfigError, Listen, database_url, listen_address, sqlite_file, tcp_address
from threepid.config.problem import HOST, Problem, is_address, is_loopback, is_server_name
from threepid.config.settings import Config, ConsoleTransport
from threepid.config.suffixes import is_public_suffix

_SERVERS: Final = re.compile(rf"(?:\*\.)?{HOST}(?::(?:[0-9]{{1,5}}|\*))?")
_DOMAINS: Final = re.compile(rf"(?:\*\.)?{HOST}")
_USERNAMES: Final = re.compile(r"[a-z0-9._=/+*?-]+")
_WIDEST: Final = {4: 8, 6: 16}
"""Bits of a network, by IP version: a wider one is most probably a mistake."""
_OF_IPV4: Final = ipaddress.IPv6Network("::ffff:0:0/96")
"""The IPv4 addresses, written as IPv6 addresses."""


def check(config: Config) -> list[Problem]:
    """What cannot be safe in `config`."""
    return [problem for rule in _RULES for problem in rule(config)]


def _public(config: Config) -> bool:
    """Can others than this machine reach the server?"""
    try:
        where = listen_address(config)
        host = urlsplit(config.server.public_base_url).hostname or ""
    except (ConfigError, ValueError):
        return True
    return not is_loopback(host) or (isinstance(where, Listen) and not is_loopback(where.host))


def _is_web_url(text: str) -> bool:
    """Is this an https URL, or an http one of this machine, in plain ASCII and without a password?"""
    try:
        url = urlsplit(text)
        host = url.hostname or ""
    except ValueError:
        return False
    if not re.fullmatch("[!-~]+", text) or not is_server_name(url.netloc):
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(host))


def _addresses(config: Config) -> Iterator[Problem]:
    try:
        listen_address(config)
    except ConfigError as error:
        yield Problem("[server] listen", str(error).partition(": ")[2])
    place, text = "[server] public_base_url", config.server.public_base_url
    try:
        base = urlsplit(text)
    except ValueError:
        yield Problem(place, "is not a URL")
        return
    if "@" in base.netloc or "?" in text or "#" in text:
        yield Problem(place, "has more than scheme, host and port")
    elif base.scheme not in {"http", "https"} or not re.fullmatch("[!-~]+", text) or not is_server_name(base.netloc):
        yield Problem(place, "is not an http or https URL in plain ASCII: links in mails start with it")
    elif base.scheme == "http" and not is_loopback(base.hostname or ""):
        yield Problem(place, "people would confirm addresses over plain HTTP: use https")
    elif base.path not in {"", "/"}:
        yield Problem(
            place,
            f"has the path {base.path}: cookies, styles and .well-known have their places at the root of a host. "
            "Give threepid a host name of its own",
        )
    if config.server.metrics_listen:
        try:
            tcp_address(config.server.metrics_listen)
        except ValueError as error:
            yield Problem("[server] metrics_listen", str(error))


def _networks(config: Config) -> Iterator[Problem]:
    identity = config.identity
    for place, networks in (
        ("[server] trusted_proxies", config.server.trusted_proxies),
        ("[outbound] allow", config.outbound.allow),
        ("[identity] v1.validate_from", identity.v1.validate_from if identity else ()),
    ):
        for network in networks:
            try:
                parsed = ipaddress.ip_network(network)
            except ValueError:
                yield Problem(place, f"{network!r} is not a network such as 10.0.0.0/8")
                continue
            bits = parsed.prefixlen
            if isinstance(parsed, ipaddress.IPv6Network) and parsed.subnet_of(_OF_IPV4):
                bits -= _OF_IPV4.prefixlen
                widest = _WIDEST[4]
            else:
                widest = _WIDEST[parsed.version]
            if bits < widest:
                yield Problem(
                    place,
                    f"{network!r} is too wide: name the networks that are meant, none wider than /{widest}",
                )


def _database(config: Config) -> Iterator[Problem]:
    try:
        url = urlsplit(database_url(config))
        url.port  # noqa: B018 - reading it checks it
    except ValueError:
        yield Problem("[database] url", "is not a URL")
        return
    if url.scheme not in {"sqlite", "postgresql", "postgres"}:
        yield Problem("[database] url", "begins neither with sqlite: nor with postgresql://")
    if url.scheme == "sqlite":
        yield from _sqlite(database_url(config))
    if url.password or "password" in parse_qs(url.query):
        yield Problem("[database] url", "has a password in it: put it into a file and name that in password_file")


def _sqlite(url: str) -> Iterator[Problem]:
    place = "[database] url"
    try:
        file = sqlite_file(url)
    except ValueError as error:
        yield Problem(place, str(error))
        return
    if file is None or not file.name.strip() or file.is_dir():
        yield Problem(place, "names no file after sqlite:")


def _registration(config: Config) -> Iterator[Problem]:
    accounts = config.accounts
    if accounts is None:
        return
    checked = accounts.required_contacts or accounts.captcha is not None
    if accounts.registration == "open" and not checked and _public(config):
        yield Problem(
            "[accounts] registration",
            'anybody on the internet could open accounts without any check: set it to "closed" or "token", '
            'set required_contacts = ["email"], or add [accounts.captcha]',
        )
    if "email" in accounts.required_contacts and config.email is None:
        yield Problem("[accounts] required_contacts", "needs [email] to send confirmations")
    if "msisdn" in accounts.required_contacts and (config.sms is None or not config.sms.countries):
        yield Problem("[accounts] required_contacts", "needs [sms] with countries to send codes to")


def _patterns(config: Config) -> Iterator[Problem]:
    accounts = config.accounts
    if accounts is None:
        return
    for pattern in accounts.reserved_usernames:
        if not _USERNAMES.fullmatch(pattern):
            yield Problem(
                "[accounts] reserved_usernames", f"{pattern!r} is not a username in lower case or a pattern like _irc_*"
            )
    place = "[accounts] trusted_identity_servers"
    for pattern in accounts.trusted_identity_servers:
        if not re.search("[0-9A-Za-z]", pattern.partition(":")[0]):
            yield Problem(place, f"{pattern!r} would believe every server about every address")
        elif not _SERVERS.fullmatch(pattern):
            yield Problem(place, f"{pattern!r} is neither a name nor a pattern such as *.example.org or localhost:*")
        elif pattern.startswith("*.") and is_public_suffix(pattern.removeprefix("*.").partition(":")[0]):
            yield Problem(place, f"{pattern!r} would believe strangers: anybody can have a name there")
    for pattern in accounts.identity_servers_allowed:
        if pattern != "*" and not _SERVERS.fullmatch(pattern):
            yield Problem(
                "[accounts] identity_servers_allowed",
                f"{pattern!r} is neither a name nor a pattern such as *.example.org or localhost:*",
            )


def _terms(config: Config) -> Iterator[Problem]:
    seen = set()
    for index, document in enumerate(config.accounts.terms if config.accounts else ()):
        place = f"[accounts] terms[{index}]"
        if document.id in seen:
            yield Problem(place, f"there are two documents {document.id}")
        seen.add(document.id)
        if not document.languages:
            yield Problem(place, "is in no language: nobody could read what they accept")
        for language, text in document.languages.items():
            if not _is_web_url(text.url):
                yield Problem(f"{place}.languages.{language}", "is not at an https URL")


def _captcha(config: Config) -> Iterator[Problem]:
    captcha = config.accounts.captcha if config.accounts else None
    if captcha is None:
        return
    if not captcha.secret_file:
        yield Problem("[accounts] captcha.secret_file", "names no file")
    for key in ("verify_url", "script_url"):
        if not _is_web_url(getattr(captcha, key)):
            yield Problem(f"[accounts] captcha.{key}", "is not an https URL")
    for host in captcha.frame_hosts:
        # Each becomes a source of a Content-Security-Policy, which nothing else may stand in.
        if not _is_web_url(host.replace("://*.", "://", 1)) or urlsplit(host).path or {*host} & {"?", "#"}:
            yield Problem(
                "[accounts] captcha.frame_hosts", f"{host!r} is not an origin such as https://www.example.org"
            )


def _limits(config: Config) -> Iterator[Problem]:
    if config.limits.all == "off" and _public(config):
        yield Problem("[limits] all", "anybody could have any number of mails sent to anybody: leave it on")


def _policy(config: Config) -> Iterator[Problem]:
    for key in ("email_domains_allowed", "email_domains_denied", "register_email_domains_allowed"):
        for pattern in getattr(config.policy, key):
            # Addresses are compared with their domain as A-labels: anything else would silently never match.
            if not _DOMAINS.fullmatch(pattern):
                yield Problem(
                    f"[policy] {key}", f"{pattern!r} is not a domain in ASCII or a pattern like *.example.org"
                )


def _mail(config: Config) -> Iterator[Problem]:
    return relays.mail(config, public=_public(config))


def _sms(config: Config) -> Iterator[Problem]:
    if config.sms is None:
        return
    if not config.sms.via:
        yield Problem("[sms] via", "has no gateway")
    yield from _countries("[sms] countries", config.sms.countries)
    taken = set()
    for index, via in enumerate(config.sms.via):
        place = f"[sms] via[{index}]"
        if isinstance(via, ConsoleTransport):
            taken |= set(config.sms.countries)
            if _public(config):
                yield Problem(place, "would write codes to standard error and send nothing: use http")
        else:
            taken |= set(via.countries or config.sms.countries)
            yield from _countries(f"{place}.countries", via.countries)
            if not _is_web_url(via.url):
                yield Problem(f"{place}.url", "is not an https URL: codes would travel in the clear, or nowhere")
            for key, message in gateway.problems(via):
                yield Problem(f"{place}.{key}", message)
    for country in config.sms.countries:
        if config.sms.via and country not in taken:
            yield Problem("[sms] countries", f"no gateway takes {country}")


def _countries(place: str, codes: Iterable[str]) -> Iterator[Problem]:
    for code in codes:
        if code not in phonenumbers.SUPPORTED_REGIONS:
            yield Problem(place, f"{code!r} is not the ISO code of a country with phone numbers, such as DE")


def _outbound(config: Config) -> Iterator[Problem]:
    for pattern in config.outbound.insecure_hosts:
        if not is_loopback(pattern.rpartition(":")[0]):
            yield Problem(
                "[outbound] insecure_hosts",
                f"{pattern!r} is not host:port on this machine: add its authority with ca_file",
            )
    for nameserver in config.outbound.nameservers:
        if not is_address(nameserver):
            yield Problem(
                "[outbound] nameservers", f"{nameserver!r} is not an address such as 192.0.2.1 or [2001:db8::1]:53"
            )


def _names(config: Config) -> Iterator[Problem]:
    names = [("[server] name", config.server.name)]
    if config.identity is not None and config.identity.name:
        names.append(("[identity] name", config.identity.name))
    for place, name in names:
        if not is_server_name(name):
            yield Problem(place, f"{name!r} is not the name of a server")
    if config.accounts is None and config.identity is None:
        yield Problem("[accounts], [identity]", "both are absent: there would be nothing to serve")


def _invitations(config: Config) -> Iterator[Problem]:
    url = config.identity.invite_url if config.identity else ""
    if url and (not _is_web_url(url) or {*url} & {"?", "#"}):
        yield Problem(
            "[identity] invite_url", "is not an https URL without ? and #: links in invitations start with it"
        )


_RULES: Final[tuple[Callable[[Config], Iterator[Problem]], ...]] = (
    _names,
    _addresses,
    _networks,
    _database,
    _registration,
    _patterns,
    _terms,
    _captcha,
    _limits,
    _policy,
    _mail,
    _sms,
    _invitations,
    _outbound,
    files.files,
    files.kept_files,
)
