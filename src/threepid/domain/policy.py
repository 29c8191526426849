"""What may be a contact here."""

from threepid.config import Config
from threepid.domain.addresses import Email, domain_matches
from threepid.spec.errors import Forbidden, ThreepidDenied, ThreepidMediumNotSupported


def check_email(config: Config, email: Email) -> None:
    """Raise ThreepidMediumNotSupported or ThreepidDenied if this address may not be a contact here."""
    if config.email is None:
        raise ThreepidMediumNotSupported("This server has no e-mail.")
    policy = config.policy
    if policy.email_domains_allowed and not domain_matches(email.domain, policy.email_domains_allowed):
        raise ThreepidDenied("E-mail addresses of this domain are not allowed here.")
    if domain_matches(email.domain, policy.email_domains_denied):
        raise ThreepidDenied("E-mail addresses of this domain are not allowed here.")


def check_changes(config: Config) -> None:
    """Raise Forbidden if people may not change their contacts here."""
    if not config.policy.changes_allowed:
        raise Forbidden("Contacts cannot be changed on this server.")
