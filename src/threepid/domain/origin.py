"""The origin of a request: time, network, browser and operating system, for the person who has to confirm the request.

It contains no text of the caller, except the name of a homeserver. Other names come from the lists below.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from threepid.domain.names import harmless
from threepid.domain.networks import known_network
from threepid.i18n import Text, Verbatim

_LONGEST: Final = 1_000
"""Number of characters of a user agent that are examined."""
_HOMESERVER: Final = 30
"""Maximum number of characters of a homeserver's name in a message."""
_BROWSERS: Final = (
    # Specific names first: nearly all browsers also call themselves Chrome or Safari.
    ("Edge", re.compile(r"\bEdg(?:e|A|iOS)?/")),
    ("Opera", re.compile(r"\b(?:OPR|Opera|OPT)/")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/")),
    ("Vivaldi", re.compile(r"\bVivaldi/")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/")),
    ("Chrome", re.compile(r"\b(?:Chrome|CriOS|Chromium)/")),
    ("Safari", re.compile(r"\bVersion/\S{1,20} (?:Mobile/\S{1,20} )?Safari/")),
)
_SYSTEMS: Final = (
    ("Android", re.compile(r"\bAndroid\b")),
    ("iOS", re.compile(r"\b(?:iPhone|iPad|iPod|iOS)\b")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Windows", re.compile(r"\bWindows\b")),
    ("macOS", re.compile(r"\b(?:Macintosh|Mac OS X|macOS)\b")),
    ("Linux", re.compile(r"\bLinux\b")),
)
_NO_BROWSER: Final = re.compile(r"\bElectron/|; wv\)", re.IGNORECASE)
"""User agents of apps that are built on a browser engine."""


class Origin(Struct, frozen=True, omit_defaults=True):
    """The origin of a request, as far as it is known. Unknown names are ''."""

    at: int = 0
    """Milliseconds since the Unix epoch; 0 if unknown."""
    network: str = ""
    """An IPv4 address, or the first 64 bits of an IPv6 address."""
    browser: str = ""
    system: str = ""
    by_homeserver: bool = False
    """Did a homeserver send the request, on behalf of an unknown user?"""
    homeserver: str = ""
    """The name of the requesting user's homeserver, if it is not ours."""

    @property
    def client(self) -> Text:
        """The requesting program, in words."""
        if self.by_homeserver:
            return Text("a homeserver")
        if self.browser and self.system:
            return Text("%(browser)s on %(system)s", browser=self.browser, system=self.system)
        if self.system:
            return Text("an unknown app on %(system)s", system=self.system)
        return Verbatim(self.browser) if self.browser else Text("an unknown app")

    def in_message(self) -> str:
        """The stored form for a message, with the homeserver's name altered so that it cannot become a link."""
        shown = replace(self, homeserver=harmless(self.homeserver, _HOMESERVER)) if self.homeserver else self
        return shown.to_text()

    def to_text(self) -> str:
        """The stored form."""
        return msgspec.json.encode(self).decode("ascii")


def of_caller(now: int, client: str, user_agent: str, *, by_homeserver: bool = False, homeserver: str = "") -> Origin:
    """The origin of a request that arrives at the time `now` from the IP address `client`."""
    browser, system = ("", "") if by_homeserver else _program(user_agent[:_LONGEST])
    return Origin(now, known_network(client) or "", browser, system, by_homeserver, homeserver)


def from_text(text: str) -> Origin:
    """Decode the stored form. An empty text, from earlier versions, gives an unknown origin."""
    return msgspec.json.decode(text, type=Origin) if text else Origin()


@lru_cache(maxsize=1024)
def _program(user_agent: str) -> tuple[str, str]:
    """The names of the browser and the operating system."""
    return "" if _NO_BROWSER.search(user_agent) else _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)


def _first(names: tuple[tuple[str, re.Pattern[str]], ...], text: str) -> str:
    return next((name for name, pattern in names if pattern.search(text)), "")
