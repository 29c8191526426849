"""The operator's rules for contacts, and for callers without an access token."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from threepid import config as settings
from threepid.config import Config, TermsDocument
from threepid.domain.addresses import Address, Email, Phone, domain_matches
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, ThreepidDenied, ThreepidMediumNotSupported


def check_address(config: Config, address: Address, *, new_account: bool = False) -> None:
    """Raise ThreepidMediumNotSupported or ThreepidDenied if the configuration does not allow this address as a contact.

    `new_account` adds the rules for registration.
    """
    if isinstance(address, Phone):
        _check_phone(config, address)
    else:
        _check_email(config, address, new_account=new_account)


def check_changes(config: Config) -> None:
    """Raise Forbidden if the configuration does not allow people to change their contacts."""
    if not config.policy.changes_allowed:
        raise Forbidden(Text("This server does not allow changes of contacts."))


def closes_without_token(config: Config) -> bool:
    """Can a caller without an access token deactivate an account by one of its contacts?"""
    return config.accounts is not None and config.accounts.deactivate_without_token


def check_v1_caller(config: Config, client: str) -> None:
    """Raise Forbidden if only listed homeservers may validate addresses by the v1 API, and `client` is not one of them."""
    if config.identity is not None and config.identity.v1.validate_from and not is_homeserver(config, client):
        raise Forbidden(Text("This client address must not use the old API."))


def is_homeserver(config: Config, client: str) -> bool:
    """Is the IP address `client` that of a homeserver in `validate_from`? Such a server calls for all its users."""
    if config.identity is None or not config.identity.v1.validate:
        return False
    try:
        address = ip_address(client)
    except ValueError:
        return False  # a request over a Unix socket has no IP address
    return any(address in ip_network(network) for network in config.identity.v1.validate_from)


def _check_email(config: Config, email: Email, *, new_account: bool) -> None:
    if config.email is None:
        raise ThreepidMediumNotSupported(Text("This server does not support email addresses."))
    policy = config.policy
    allowed = [policy.email_domains_allowed, *([policy.register_email_domains_allowed] if new_account else [])]
    if any(patterns and not domain_matches(email.domain, patterns) for patterns in allowed):
        raise ThreepidDenied(Text("This server does not allow email addresses of this domain."))
    if domain_matches(email.domain, policy.email_domains_denied) or _in_file(
        email.domain, policy.email_domains_denied_file
    ):
        raise ThreepidDenied(Text("This server does not allow email addresses of this domain."))


def _in_file(domain: str, file: str) -> bool:
    if not file:
        return False
    denied = settings.read_lines(file)
    labels = domain.split(".")
    return any(".".join(labels[start:]) in denied for start in range(len(labels)))


def _check_phone(config: Config, phone: Phone) -> None:
    if config.sms is None or not config.sms.countries:
        raise ThreepidMediumNotSupported(Text("This server does not support phone numbers."))
    if phone.region not in config.sms.countries:
        raise ThreepidDenied(Text("This server does not allow phone numbers of this country."))
    if not phone.texted:
        raise ThreepidDenied(Text("This server does not allow phone numbers of this kind."))


def policies(documents: Iterable[TermsDocument]) -> dict[str, Any]:
    """The documents in the form that clients get: document ID → version and languages."""
    return {
        document.id: {
            "version": document.version,
            **{language: {"name": text.name, "url": text.url} for language, text in document.languages.items()},
        }
        for document in documents
    }
