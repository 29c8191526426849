"""All declared endpoints, and the ones that a configuration enables."""

import functools
from typing import Final

import msgspec

from threepid.api import bounces, federation, health
from threepid.api.admin import accounts as admin_accounts
from threepid.api.admin import audit as admin_audit
from threepid.api.admin import operations as admin_operations
from threepid.api.admin import states as admin_states
from threepid.api.call import Call
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
from threepid.api.openapi.document import document
from threepid.api.openapi.reference import reference
from threepid.config import Config
from threepid.http.exchange import Answer, Headers
from threepid.spec.description import Described
from threepid.spec.endpoint import Auth, Endpoint, collect, endpoint, other

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
_FRESH: Final = Headers(("Access-Control-Allow-Origin", "*"), ("Cache-Control", "public, max-age=300"))
_PRIVATE: Final = Headers(("Access-Control-Allow-Origin", "*"), ("Cache-Control", "no-store"))
"""A cache must not pass on what the networks of operators alone may know."""


@endpoint("GET", other("/openapi.json"), auth=Auth.NONE)
async def get_openapi(call: Call) -> Answer:
    """Get the description of all endpoints that this server has. https://spec.openapis.org/oas/v3.1.0."""
    is_near = call.services.console.is_near(call.client)
    described = _document(tuple(served(call.config, is_near=is_near)), *_place(call.config))
    return Answer(200, described, headers=_PRIVATE if is_near else _FRESH)


OWN: Final = collect(health.ENDPOINTS, well_known.SUPPORT, (get_openapi,))
BOUNCES: Final = collect(bounces.ENDPOINTS)
ADMIN: Final = collect(
    admin_accounts.ENDPOINTS, admin_states.ENDPOINTS, admin_operations.ENDPOINTS, admin_audit.ENDPOINTS
)
ALL: Final = collect(ACCOUNTS, OAUTH, IDENTITY, OWN, BOUNCES, ADMIN)


def served(config: Config, *, is_near: bool = True) -> list[Endpoint]:
    """The endpoints that `config` enables, as far as they exist for a caller in the networks of `[admin]` or elsewhere."""
    endpoints = list(OWN)
    if config.email is not None and config.email.bounce_secret_file:
        endpoints += BOUNCES
    if config.admin.networks and is_near:
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


def documented(config: Config, *, is_near: bool) -> tuple[Described, ...]:
    """The endpoints of `served`, as documentation shows them."""
    return _reference(tuple(served(config, is_near=is_near)), *_place(config))


def _place(config: Config) -> tuple[str, tuple[str, ...]]:
    return config.server.public_base_url.rstrip("/"), config.server.query_token


# Each takes a tenth of a second the first time.
@functools.lru_cache(maxsize=4)
def _document(endpoints: tuple[Endpoint, ...], base: str, query_token: tuple[str, ...]) -> bytes:
    return msgspec.json.encode(document(endpoints, ALL, base=base, query_token=query_token))


@functools.lru_cache(maxsize=4)
def _reference(endpoints: tuple[Endpoint, ...], base: str, query_token: tuple[str, ...]) -> tuple[Described, ...]:
    return reference(endpoints, ALL, base=base, query_token=query_token)
