"""`[admin]`: its settings, and the rules that reject unsafe values."""

from collections.abc import Iterator

from threepid.config.problem import Problem, network_problems
from threepid.config.section import Section


class Admin(Section, frozen=True):
    """`[admin]`: the API for operators under `/_threepid/admin/v1/`, and their console under `/admin/`."""

    networks: tuple[str, ...] = ()
    """Networks whose callers may use the admin API and the console, as operators, none wider than /8 (IPv6: /16); empty = off."""


def problems(admin: Admin) -> Iterator[Problem]:
    """Yield the unsafe values in `[admin]`."""
    yield from network_problems("[admin] networks", admin.networks)
