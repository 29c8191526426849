"""The checks, a module for each family."""

from typing import Final

from threepid.cli.doctor.check import Check
from threepid.cli.doctor.checks import address, homeserver, paths, surroundings, synapse_settings, wellknown

CHECKS: Final[tuple[Check, ...]] = (
    *surroundings.CHECKS,
    *address.CHECKS,
    *homeserver.CHECKS,
    *paths.CHECKS,
    *wellknown.CHECKS,
)
"""The checks that ask this server and others."""
OF_FILES: Final[tuple[Check, ...]] = synapse_settings.CHECKS
"""The checks that read Synapse's configuration."""
