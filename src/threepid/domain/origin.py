"""When, from where and by what something was asked for, as its owner may read it before they agree.

Nothing of it is text of the caller: a time, a network, and names from the lists below.
"""

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

import msgspec
from msgspec import Struct

from threepid.domain.limits import network_of
from threepid.domain.names import harmless

_SECOND: Final = 1_000
_LONGEST: Final = 1_000
"""Characters of a user agent that are looked at."""
_HOMESERVER: Final = 30
"""Characters of a homeserver's name that a message shows."""
_BROWSERS: Final = (
    # The more particular first: nearly all of them call themselves Chrome or Safari as well.
    ("Edge", r"\bEdg(?:e|A|iOS)?/"),
    ("Opera", r"\b(?:OPR|Opera|OPT)/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Vivaldi", r"\bVivaldi/"),
    ("Firefox", r"\b(?:Firefox|FxiOS)/"),
    ("Chrome", r"\b(?:Chrome|CriOS|Chromium)/"),
    ("Safari", r"\bVersion/\S{1,20} (?:Mobile/\S{1,20} )?Safari/"),
)
_SYSTEMS: Final = (
    ("Android", r"\bAndroid\b"),
    ("iOS", r"\b(?:iPhone|iPad|iPod|iOS)\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Windows", r"\bWindows\b"),
    ("macOS", r"\b(?:Macintosh|Mac OS X|macOS)\b"),
    ("Linux", r"\bLinux\b"),
)
_NO_BROWSER: Final = re.compile(r"\bElectron/|; wv\)", re.IGNORECASE)
"""An app that is built on a browser."""


class Origin(Struct, frozen=True, omit_defaults=True):
    """Who asked for something, as far as we know. Names are '' where we do not."""

    at: int = 0
    """Milliseconds since the Unix epoch; 0 for a time that nobody noted."""
    network: str = ""
    """An IPv4 address, or the first 64 bits of an IPv6 address."""
    browser: str = ""
    system: str = ""
    by_homeserver: bool = False
    """A homeserver asked on behalf of somebody whom we know nothing about."""
    homeserver: str = ""
    """The name of the homeserver whose user asked, where it is not ours."""

    @property
    def time(self) -> str:
        """The time in UTC: where its reader lives, we do not know."""
        return f"{datetime.fromtimestamp(self.at // _SECOND, UTC):%Y-%m-%d %H:%M} UTC" if self.at else ""

    @property
    def client(self) -> str:
        """What asked, in words."""
        if self.by_homeserver:
            return "a homeserver"
        app = self.browser or "an unknown app"
        return f"{app} on {self.system}" if self.system else app

    def in_message(self) -> dict[str, str]:
        """The fields of a message that tells of it: a homeserver's name is no link there."""
        return {
            "asked_at": self.time,
            "asked_from": self.network,
            "asked_by": f"{self.client}, for a user of {harmless(self.homeserver, _HOMESERVER)}"
            if self.homeserver
            else self.client,
        }

    def to_text(self) -> str:
        """As it is stored."""
        return msgspec.json.encode(self).decode("ascii")


def of_caller(now: int, client: str, user_agent: str, *, by_homeserver: bool = False, homeserver: str = "") -> Origin:
    """The origin of a request that comes `now` from the IP address `client`."""
    known = "" if by_homeserver else user_agent[:_LONGEST]
    return Origin(
        now,
        network_of(client) if _is_address(client) else "",
        "" if _NO_BROWSER.search(known) else _first(_BROWSERS, known),
        _first(_SYSTEMS, known),
        by_homeserver,
        homeserver,
    )


def from_text(text: str) -> Origin:
    """What was stored; of before anybody stored it, nothing is known."""
    return msgspec.json.decode(text, type=Origin) if text else Origin()


def _is_address(client: str) -> bool:
    try:
        ip_address(client)
    except ValueError:
        return False  # over a Unix socket
    return True


def _first(names: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for name, pattern in names if re.search(pattern, text)), "")
