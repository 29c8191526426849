"""Discovery: the addresses of this server, for clients and servers that know only its name.

If the server name is another host, the operator forwards `/.well-known/matrix/` from that host to this server.
https://spec.matrix.org/latest/client-server-api/#well-known-uris
"""

from typing import Final
from urllib.parse import urlsplit

from msgspec import UNSET, Struct, UnsetType, field

from threepid.api.call import Call
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, other
from threepid.spec.oauth.server import MANAGE, issuer

_PORTS: Final = {"https": 443, "http": 80}


class Base(Struct, frozen=True):
    """The base URL of an API."""

    base_url: str


class Authentication(Struct, frozen=True):
    """The OAuth 2.0 API, as clients of the drafts look for it: its issuer and the account pages."""

    issuer: str
    account: str


class ForClients(Struct, frozen=True, omit_defaults=True):
    """The base URLs for clients, under the specification's names."""

    homeserver: Base = field(name="m.homeserver")
    identity_server: Base | UnsetType = field(name="m.identity_server", default=UNSET)
    authentication: Authentication | UnsetType = field(name="org.matrix.msc2965.authentication", default=UNSET)


class Contact(Struct, frozen=True):
    """A way to reach the people who run this server."""

    email_address: str
    role: str = "m.role.admin"


class Support(Struct, frozen=True, omit_defaults=True):
    """How people reach those who run this server: by email, or on a page."""

    contacts: list[Contact] | UnsetType = UNSET
    support_page: str | UnsetType = UNSET


class ForServers(Struct, frozen=True):
    """The host and port that other servers call."""

    server: str = field(name="m.server")


@endpoint("GET", other("/.well-known/matrix/client"), auth=Auth.NONE)
async def well_known_client(call: Call) -> ForClients:
    """Get the base URLs of the homeserver and the identity server. https://spec.matrix.org/latest/client-server-api/#getwell-knownmatrixclient."""
    base = call.config.server.public_base_url.rstrip("/")
    here = Base(base)
    return ForClients(
        here,
        here if call.config.identity is not None else UNSET,
        Authentication(issuer(base), f"{base}{MANAGE}") if call.config.oauth.enabled else UNSET,
    )


@endpoint("GET", other("/.well-known/matrix/server"), auth=Auth.NONE)
async def well_known_server(call: Call) -> ForServers:
    """Get the delegated server name and port. https://spec.matrix.org/latest/server-server-api/#getwell-knownmatrixserver."""
    here = urlsplit(call.config.server.public_base_url)
    host = here.hostname or ""
    return ForServers(f"{f'[{host}]' if ':' in host else host}:{here.port or _PORTS[here.scheme]}")


@endpoint("GET", other("/.well-known/matrix/support"), auth=Auth.NONE, errors=(errors.NotFound,))
async def well_known_support(call: Call) -> Support:
    """Get the contact of the people who run this server. https://spec.matrix.org/latest/client-server-api/#getwell-knownmatrixsupport."""
    web = call.config.web
    if web.contact_email:
        return Support(contacts=[Contact(web.contact_email)])
    if web.contact_url:
        return Support(support_page=web.contact_url)
    raise errors.NotFound


ENDPOINTS = (well_known_client, well_known_server)
"""The endpoints of a homeserver."""
SUPPORT = (well_known_support,)
"""The endpoint of every server."""
