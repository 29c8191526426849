"""Which domain somebody registered, of the name of a server: whoever has it can make names below it without end.

There is no list of public suffixes here, which changes every week: docs/decisions/0011-who-a-limit-counts.md. The rule is the
last two labels, or three where the last two are a country and a general word. What it gets wrong counts together, not apart.
"""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

_COUNTRY_LENGTH: Final = 2
_SITE_BITS: Final = 48
_GENERAL: Final = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})
"""Second labels below which registries of many countries register names, and which hardly anybody owns elsewhere.

Fewer than those that nobody may trust as a whole: whoever owned `info.tk` would otherwise count as a stranger with each name.
"""


def registrable_domain(server_name: str) -> str:
    """The domain to which a server name belongs, without its port; an IPv4 address, or the IPv6 network of 48 bits of one."""
    host = _without_port(server_name.lower())
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        labels = [label for label in host.split(".") if label]
        is_general = len(labels) > _COUNTRY_LENGTH and len(labels[-1]) == _COUNTRY_LENGTH and labels[-2] in _GENERAL
        return ".".join(labels[-3 if is_general else -2 :])
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Network((int(address), _SITE_BITS), strict=False))


def _without_port(server_name: str) -> str:
    if server_name.startswith("["):
        return server_name.partition("]")[0] + "]"
    return server_name.partition(":")[0]
