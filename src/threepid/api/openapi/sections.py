"""The chapters and sections in which documentation lists the endpoints."""

import re
from typing import Final

from threepid.spec.endpoint import Endpoint

_TITLES: Final = {
    "administrative_contact": "Contacts",
    "associations": "Binding and unbinding",
    "auth": "Identity server accounts",
    "bounces": "Reports about mails",
    "clients": "Registration of apps",
    "device_management": "Devices",
    "endpoints": "Description of the API",
    "federation": "Server-Server API",
    "grants": "Tokens of apps",
    "health": "Health checks",
    "invitation": "Invitations",
    "legacy": "Identity Service API v1",
    "lookup": "Lookups",
    "metadata": "Server metadata",
    "openid": "OpenID tokens",
    "password_management": "Password",
    "ping": "Status and versions",
    "profile": "Profiles",
    "pubkey": "Public keys",
    "refresh": "Refresh tokens",
    "sso": "Single sign-on",
    "terms": "Terms of service",
    "tokens": "Submitting a code",
    "versions": "Specification versions",
    "well_known": "Server discovery",
}
"""Titles of the sections whose modules are named otherwise."""


def section(endpoint: Endpoint) -> str:
    """The title of the section that lists an endpoint: one section for each module."""
    *_, room, name = endpoint.handler.__module__.split(".")
    title = _TITLES.get(name, name.replace("_", " ").capitalize())
    return f"Admin API: {title.lower()}" if room == "admin" else title


_SENTENCES: Final = re.compile(r"(?<=\.) (?=[A-Z])")


def summary(endpoint: Endpoint) -> str:
    """What an endpoint does, in one sentence without links."""
    line = endpoint.doc.partition("\n")[0].partition(" https://")[0]
    return _SENTENCES.split(line, maxsplit=1)[0].removesuffix(".").strip()


def described(endpoint: Endpoint) -> str:
    """The whole description of an endpoint, without its link."""
    return " ".join(word for word in endpoint.doc.split() if not word.startswith("https://"))


def link(endpoint: Endpoint) -> str:
    """The address of the specification of an endpoint; '' if it has none."""
    return next((word.removesuffix(".") for word in endpoint.doc.split() if word.startswith("https://")), "")
