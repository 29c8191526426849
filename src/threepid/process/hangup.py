"""SIGHUP: takes a renewed certificate, and logs which changed settings need a restart."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from threepid import config
from threepid.config import Config, ConfigError
from threepid.telemetry import configure_logging

_log = structlog.get_logger()


def takes_certificate(settings: Config, config_file: Path | None) -> bool:
    """Should the workers be replaced, because the certificate that `settings` names may be a new one?

    Logs a certificate that cannot be used, and the settings in `config_file` that are not those of the running server.
    """
    configure_logging(level=settings.telemetry.log_level)
    try:
        changed = [*_changed(settings, config.load(config_file, os.environ), "")]
    except ConfigError as error:
        _log.warning("configuration_rejected", reason=str(error))
    else:
        if changed:
            _log.warning("restart_needed", settings=changed)
    if settings.server.tls is None:
        _log.info("nothing_to_reload", reason="the server has no certificate of its own")
        return False
    # Only the files may have changed since the start.
    problems = [str(problem) for problem in config.check(settings) if problem.place.startswith("[server] tls")]
    if problems:
        _log.error("certificate_rejected", reason="; ".join(problems))
        return False
    _log.info("certificate_reloaded", file=settings.server.tls.certificate_file)
    return True


def _changed(old: Any, new: Any, place: str) -> Iterator[str]:
    """The names of the settings that differ. Their values stay out of the log."""
    if type(old) is type(new) and isinstance(old, Struct):
        for field in msgspec.structs.fields(type(old)):
            inner = f"{place}.{field.encode_name}" if place else field.encode_name
            yield from _changed(getattr(old, field.name), getattr(new, field.name), inner)
    elif old != new:
        yield place
