"""Declarations of checks: what is asked, of which configurations, and what has to be in order before."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from msgspec import Struct

from threepid.cli.doctor.scene import Scene
from threepid.config import Config


class State(Enum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    NOT_ASKED = "not asked"
    """Something else has to be in order first, or the question does not arise."""


class Verdict(Struct, frozen=True):
    """The answer to the question of a check."""

    state: State
    change: str = ""
    """What to change, or why it was not asked: one sentence or two."""


OK: Final = Verdict(State.OK)


def warning(change: str) -> Verdict:
    """It works, but not for everybody or not for long."""
    return Verdict(State.WARNING, change)


def failure(change: str) -> Verdict:
    """It does not work."""
    return Verdict(State.FAILURE, change)


def not_asked(why: str) -> Verdict:
    """The question cannot be answered from here."""
    return Verdict(State.NOT_ASKED, why)


class Check(Struct, frozen=True, eq=False):
    """One question, and how it is asked. Use the decorator `check` to create it."""

    name: str
    question: str
    ask: Callable[[Scene], Awaitable[Verdict]]
    where: Callable[[Config], bool]
    """The configurations in which the question arises."""
    needs: tuple["Check", ...]
    """Checks that must not fail, since this one would only repeat what they say."""
    patience: int
    """How many times the limit of one request all requests together may take."""


def check(
    question: str,
    *,
    where: Callable[[Config], bool] = lambda _: True,
    needs: tuple[Check, ...] = (),
    patience: int = 2,
) -> Callable[[Callable[[Scene], Awaitable[Verdict]]], Check]:
    """Declare that the decorated coroutine function answers `question`."""

    def declare(ask: Callable[[Scene], Awaitable[Verdict]]) -> Check:
        return Check(ask.__name__, question, ask, where, needs, patience)

    return declare


def has_accounts(settings: Config) -> bool:
    """Do accounts live here?"""
    return settings.accounts is not None


def is_beside(settings: Config) -> bool:
    """Is there a homeserver beside this server?"""
    return settings.homeserver is not None


def is_identity_server_beside(settings: Config) -> bool:
    """Is there a homeserver beside this server, and is this an identity server, too?"""
    return settings.homeserver is not None and settings.identity is not None


class Finding(Struct, frozen=True):
    """A check and its verdict."""

    check: str
    question: str
    state: State
    change: str
