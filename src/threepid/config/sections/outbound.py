"""`[outbound]`: its settings, and what cannot be safe about them."""

from collections.abc import Iterator

from threepid.config.problem import Problem, is_address, is_loopback, network_problems
from threepid.config.section import AuthoritiesFile, Section


class Outbound(Section, frozen=True):
    """`[outbound]`: what calls to other servers may reach."""

    allow: tuple[str, ...] = ()
    """Networks outside the global internet that may be called."""
    ca_file: AuthoritiesFile = ""
    """Further certificate authorities."""
    insecure_hosts: tuple[str, ...] = ()
    """`host:port` patterns whose certificates are not checked; loopback only."""
    nameservers: tuple[str, ...] = ()
    """DNS servers that are asked where others are, as `address` or `address:port`; empty = those of the system."""


def problems(outbound: Outbound) -> Iterator[Problem]:
    """What cannot be safe in `[outbound]`."""
    yield from network_problems("[outbound] allow", outbound.allow)
    for pattern in outbound.insecure_hosts:
        if not is_loopback(pattern.rpartition(":")[0]):
            yield Problem(
                "[outbound] insecure_hosts",
                f"{pattern!r} is not host:port on this machine: add its authority with ca_file",
            )
    for nameserver in outbound.nameservers:
        if not is_address(nameserver):
            yield Problem(
                "[outbound] nameservers", f"{nameserver!r} is not an address such as 192.0.2.1 or [2001:db8::1]:53"
            )
