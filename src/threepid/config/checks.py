"""Checks of the whole configuration: unsafe values, and warnings."""

from collections.abc import Iterator

from threepid.config import walk
from threepid.config.permissions import secret_folders
from threepid.config.problem import Problem
from threepid.config.sections import (
    Config,
    accounts,
    admin,
    database,
    delivery,
    homeserver,
    identity,
    limits,
    outbound,
    policy,
    server,
    telemetry,
    web,
)


def check(config: Config) -> list[Problem]:
    """All unsafe values in `config`."""
    return [*_of_sections(config), *_of_paths(config)]


def warnings(config: Config) -> list[Problem]:
    """The values in `config` that are accepted with a warning."""
    of_accounts = (
        ()
        if config.accounts is None
        else accounts.warnings(
            config.accounts, public=server.is_public(config.server), email=config.email, sms=config.sms
        )
    )
    return [
        *server.warnings(config.server),
        *of_accounts,
        *database.warnings(config.database, config.server.data_dir),
        *policy.warnings(config.policy),
        *web.warnings(config.web),
    ]


def _of_sections(config: Config) -> Iterator[Problem]:
    public = server.is_public(config.server)
    if config.accounts is None and config.identity is None:
        yield Problem(
            "[accounts], [identity]", "both are missing, so there is nothing to serve: add at least one of them"
        )
    yield from server.problems(config.server)
    yield from database.problems(config.database, config.server.data_dir)
    if config.accounts is not None:
        yield from accounts.problems(config.accounts, public=public, email=config.email, sms=config.sms)
    if config.identity is not None:
        yield from identity.problems(config.identity)
    if config.homeserver is not None:
        yield from homeserver.problems(
            config.homeserver, has_accounts=config.accounts is not None, has_oauth=config.oauth.enabled
        )
    if config.email is not None:
        yield from delivery.email_problems(config.email, public=public)
    if config.sms is not None:
        yield from delivery.sms_problems(config.sms, public=public)
    yield from outbound.problems(config.outbound)
    yield from limits.problems(config.limits, public=public)
    yield from policy.problems(config.policy)
    yield from web.problems(config.web)
    yield from admin.problems(config.admin)
    yield from telemetry.problems(config.telemetry)


def _of_paths(config: Config) -> Iterator[Problem]:
    """Yield the paths that cannot be used, by the rules of their annotations."""
    folders = secret_folders(config.server.secret_dirs)
    for place, kind, path in walk.paths(config):
        if kind.why_not is not None and (trouble := kind.why_not(path, folders)):
            yield Problem(place, trouble)
