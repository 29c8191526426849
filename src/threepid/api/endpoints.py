"""All declared endpoints, and the ones that a configuration enables."""

from typing import Final

from threepid.api import bounces, federation, health
from threepid.api.admin import accounts as admin_accounts
from threepid.api.admin import operations as admin_operations
from threepid.api.client import (
    account_deactivation,
    administrative_contact,
    capabilities,
    device_management,
    filters,
    login,
    logout,
    openid,
    password_management,
    profile,
    push_rules,
    refresh,
    registration,
    registration_tokens,
    sso,
    sync,
    tokens,
    versions,
    well_known,
    whoami,
    whois,
)
from threepid.api.identity import associations, auth, invitation, legacy, lookup, ping, pubkey, terms, validation
from threepid.api.oauth import clients, grants, introspection, metadata
from threepid.config import Config
from threepid.spec.endpoint import Endpoint, collect

ACCOUNTS: Final = collect(
    versions.ENDPOINTS,
    well_known.ENDPOINTS,
    registration.ENDPOINTS,
    registration_tokens.ENDPOINTS,
    login.ENDPOINTS,
    logout.ENDPOINTS,
    refresh.ENDPOINTS,
    whoami.ENDPOINTS,
    administrative_contact.ENDPOINTS,
    tokens.ENDPOINTS,
    password_management.ENDPOINTS,
    account_deactivation.ENDPOINTS,
    device_management.ENDPOINTS,
    capabilities.ENDPOINTS,
    push_rules.ENDPOINTS,
    filters.ENDPOINTS,
    profile.ENDPOINTS,
    sync.ENDPOINTS,
    whois.ENDPOINTS,
    openid.ENDPOINTS,
    federation.ENDPOINTS,
)
IDENTITY: Final = collect(
    ping.ENDPOINTS,
    auth.ENDPOINTS,
    terms.ENDPOINTS,
    validation.ENDPOINTS,
    associations.ENDPOINTS,
    lookup.ENDPOINTS,
    pubkey.ENDPOINTS,
    invitation.ENDPOINTS,
    legacy.ENDPOINTS,
)
OAUTH: Final = collect(
    metadata.ENDPOINTS,
    clients.ENDPOINTS,
    grants.ENDPOINTS,
    introspection.ENDPOINTS,
    sso.ENDPOINTS,
)
OWN: Final = collect(health.ENDPOINTS, well_known.SUPPORT)
BOUNCES: Final = collect(bounces.ENDPOINTS)
ADMIN: Final = collect(admin_accounts.ENDPOINTS, admin_operations.ENDPOINTS)
ALL: Final = collect(ACCOUNTS, OAUTH, IDENTITY, OWN, BOUNCES, ADMIN)


def served(config: Config) -> list[Endpoint]:
    """The endpoints that `config` enables."""
    endpoints = list(OWN)
    if config.email is not None and config.email.bounce_secret_file:
        endpoints += BOUNCES
    if config.admin.networks:
        endpoints += ADMIN
    if config.accounts is not None:
        endpoints += ACCOUNTS
        if config.oauth.enabled:
            endpoints += OAUTH
    if config.identity is not None:
        v1 = config.identity.v1
        switches = {
            None: True,
            "v1.public_keys": v1.public_keys,
            "v1.validate": v1.validate,
            "v1.lookup": v1.lookup,
            "v1.bind": v1.bind,
        }
        endpoints += [endpoint for endpoint in IDENTITY if switches[endpoint.switch]]
    return endpoints
