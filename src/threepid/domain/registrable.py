"""The registrable domain of a server name, which limits count by: its owner can create any number of names below it.

There is no list of public suffixes, because it changes every week: docs/decisions/0011-who-a-limit-counts.md. The domain is the
last two labels, or three if the last two are a general word and a country. A wrong guess counts strangers together.
"""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

_COUNTRY_LENGTH: Final = 2
_SITE_BITS: Final = 48
_GENERAL: Final = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})
"""Second-level labels below which registries of many countries register names, and which private owners rarely have.

The set is small on purpose: with `info` in it, the owner of `info.tk` would count as a new stranger with each name.
"""


def registrable_domain(server_name: str) -> str:
    """The registrable domain of a server name, without the port. For an IP address: the IPv4 address or the IPv6 /48."""
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
