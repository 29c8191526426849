"""Apprise as a gateway: which of its services send SMS, and what the URL of one must contain."""

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlsplit

from msgspec import Meta

from threepid.config.section import SecretFile, Section

SERVICES: Final = (
    "46elks", "atalk", "bulksms", "bulkvs", "burstsms", "clickatell", "clicksend", "cm", "d7sms", "eight00com", "exotel",
    "httpsms", "infobip", "kaleyra", "kudosity", "msgbird", "notifyre", "octopush", "serwersms", "seven", "sinch",
    "smsc", "smseagles", "smsmanager", "smstunnel", "sns", "telesign", "telnyx", "twilio",
)  # fmt: skip
"""The services of Apprise that send one SMS with exactly our text over HTTPS. docs/decisions/0064-sms-through-apprise.md."""
NUMBER: Final = re.compile(r"\{(to|digits)\}")
_URL: Final = re.compile(r"[!-~]+")
_OURS: Final = frozenset(
    {"verify", "redirect", "rto", "cto", "overflow", "format", "emojis", "store", "retry", "wait", "optional", "tz"}
)
"""Parameters of Apprise that decide how it sends. Only the server sets them."""


class AppriseTransport(Section, frozen=True, tag_field="transport", tag="apprise"):
    """An SMS service through the library Apprise. It does not tell a rejection from a broken connection: nothing is repeated."""

    url_file: SecretFile
    """File with Apprise's URL of the service; `{to}` in it is the number, `{digits}` the number without its `+`."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 15.0
    """Maximum time for one delivery, in seconds."""
    countries: tuple[str, ...] = ()
    """ISO codes of the countries whose numbers this gateway serves, before gateways without countries; empty = all."""


def name_of(via: AppriseTransport) -> str:
    """The name of the gateway in logs and metrics: the file, because its URL is secret."""
    return f"apprise {Path(via.url_file).name}"


def why_no_service(url: str) -> str | None:
    """Why this is not the URL of an SMS service, and what to change; None if it is. It does not repeat the URL."""
    if not _URL.fullmatch(url):
        return "holds something else than one URL in plain ASCII"
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in SERVICES:
        return f"names no SMS service that can be used: its URL begins with one of {', '.join(SERVICES)}, and ://"
    if not NUMBER.search(url):
        return "has no {to} or {digits} in its URL: the number stands there"
    try:
        given = {key.strip().lower() for key, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    except ValueError:
        return "holds something else than one URL in plain ASCII"
    if taken := sorted(given & _OURS):
        return f"sets {', '.join(taken)}, which only the server sets"
    return None
