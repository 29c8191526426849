"""The files that a configuration names or keeps: whether they can be read, and by whom else."""

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from threepid.config.load import database_url, sqlite_file
from threepid.config.permissions import secret_folders, why_changeable, why_no_secret, why_open, why_unreadable
from threepid.config.problem import Problem
from threepid.config.settings import Config, HttpTransport, SmtpTransport


def files(config: Config) -> Iterator[Problem]:
    """What is wrong with the files that hold secrets, lists and certificates."""
    folders = secret_folders(config.server.secret_dirs)
    for place, name in _private_files(config):
        if name and (trouble := why_no_secret(name, folders)):
            yield Problem(place, trouble)
    for place, name in _public_files(config):
        if name and (trouble := why_unreadable(name) or _why_no_authorities(place, name)):
            yield Problem(place, trouble)
    yield from _certificate(config)
    for name in config.server.secret_dirs:
        if Path(name).resolve() == Path("/"):
            yield Problem("[server] secret_dirs", f"{name} is every folder: name the one that the secrets are in")
        elif not Path(name).is_dir():
            yield Problem("[server] secret_dirs", f"there is no folder {name}")


def _why_no_authorities(place: str, name: str) -> str | None:
    if not place.endswith("ca_file"):
        return None
    try:
        ssl.create_default_context(cafile=name)
    except (ssl.SSLError, OSError):
        return f"{name} holds no certificates in PEM form"
    return None


def _certificate(config: Config) -> Iterator[Problem]:
    tls = config.server.tls
    if tls is None or why_unreadable(tls.certificate_file) or why_unreadable(tls.key_file):
        return
    try:
        # With a password that is certainly wrong: else a key that needs one would ask for it here.
        ssl.create_default_context().load_cert_chain(tls.certificate_file, tls.key_file, password="")
    except (ssl.SSLError, OSError):
        yield Problem(
            "[server] tls",
            f"{tls.certificate_file} and {tls.key_file} are not a certificate chain and its private key, in PEM form and "
            "without a password",
        )


def kept_files(config: Config) -> Iterator[Problem]:
    """What others can read or change of that which the server keeps: its database, its keys, its templates."""
    keys = Path(config.server.data_dir) / "keys"
    yield from _of("[server] data_dir", keys, why_changeable, why_open)
    if (database := _database(config)) is not None:
        for path in (database, Path(f"{database}-wal"), Path(f"{database}-shm")):
            if path == database or path.exists():
                yield from _of("[database] url", path, why_changeable, why_open)
    template_dir = config.web.template_dir
    if template_dir and not Path(template_dir).is_dir():
        yield Problem("[web] template_dir", f"there is no folder {template_dir}")
    elif template_dir:
        troubles = (why_changeable(path) for path in _tree(Path(template_dir)))
        if first := next(filter(None, troubles), None):  # one folder open to others opens all that is in it
            yield Problem("[web] template_dir", first)


def _database(config: Config) -> Path | None:
    """The file of the database, if it has one."""
    try:
        file = sqlite_file(database_url(config))
    except ValueError:  # which another rule says
        return None
    return None if file is None or not file.name or file.is_dir() else file


def _of(place: str, path: Path, *questions: Callable[[Path], str | None]) -> Iterator[Problem]:
    """The first trouble with `path`: mending it often mends the others."""
    trouble = next((found for ask in questions if (found := ask(path))), None)
    if trouble:
        yield Problem(place, trouble)


def _tree(root: Path) -> Iterator[Path]:
    """`root` and all that is in it."""
    yield root
    for folder, folders, names in os.walk(root):
        yield from (Path(folder) / name for name in [*folders, *names])


def _private_files(config: Config) -> Iterator[tuple[str, str]]:
    """Where files are named that hold secrets."""
    if config.server.tls is not None:
        yield "[server] tls.key_file", config.server.tls.key_file
    yield "[database] password_file", config.database.password_file
    if config.accounts is not None and config.accounts.captcha is not None:
        yield "[accounts] captcha.secret_file", config.accounts.captcha.secret_file
    for index, relay in enumerate(config.email.via if config.email else ()):
        if isinstance(relay, SmtpTransport):
            yield f"[email] via[{index}].password_file", relay.password_file
    for index, way in enumerate(config.sms.via if config.sms else ()):
        if isinstance(way, HttpTransport):
            yield f"[sms] via[{index}].secret_file", way.secret_file


def _public_files(config: Config) -> Iterator[tuple[str, str]]:
    """Where files are named that anybody may read."""
    if config.server.tls is not None:
        yield "[server] tls.certificate_file", config.server.tls.certificate_file
    yield "[outbound] ca_file", config.outbound.ca_file
    for index, relay in enumerate(config.email.via if config.email else ()):
        if isinstance(relay, SmtpTransport):
            yield f"[email] via[{index}].ca_file", relay.ca_file
    yield "[policy] passwords_denied_file", config.policy.passwords_denied_file
    yield "[policy] email_domains_denied_file", config.policy.email_domains_denied_file
