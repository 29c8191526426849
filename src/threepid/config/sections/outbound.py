"""`[outbound]`: its settings, and the rules that reject unsafe values."""

from collections.abc import Iterator

from threepid.config.problem import Problem, is_address, is_loopback, network_problems
from threepid.config.section import AuthoritiesFile, Section


class Outbound(Section, frozen=True):
    """`[outbound]`: calls to other servers."""

    allow: tuple[str, ...] = ()
    """Networks outside the global internet that calls may reach; empty = none."""
    ca_file: AuthoritiesFile = ""
    """File with further certificate authorities (PEM); empty = only those of the system."""
    insecure_hosts: tuple[str, ...] = ()
    """Patterns (`host:port`) of servers whose certificates are not verified; loopback only; empty = none."""
    nameservers: tuple[str, ...] = ()
    """DNS servers that resolve other servers' names, as `address` or `address:port`; empty = those of the system."""


def problems(outbound: Outbound) -> Iterator[Problem]:
    """Yield the unsafe values in `[outbound]`."""
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
