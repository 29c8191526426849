"""A83: a stranger asks for codes to find out from which addresses mails come back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bounce_reports import BOB, jobs_to, mail_to, notification, send, suppressed, world_with_reports
from databases import Around
from threepid.storage.engine.database import Database, Tx
from world import World, normalised

FINE = "fine@example.com"
C = "/_matrix/client/v3"
T = TypeVar("T")


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_with_reports(database_url, tmp_path) as world:
        send(world, notification(mail_to(world)))
        assert len(suppressed(world)) == 1
        yield world


class Watched(Tx):
    """The names of the statements that a unit of work runs."""

    def __init__(self, inside: Tx, names: list[str]) -> None:
        self._inside, self._names = inside, names

    def rows(self, query: Any, as_: Any, /, **parameters: Any) -> Any:
        self._names.append(query.name)
        return self._inside.rows(query, as_, **parameters)

    def row(self, query: Any, as_: Any, /, **parameters: Any) -> Any:
        self._names.append(query.name)
        return self._inside.row(query, as_, **parameters)

    def value(self, query: Any, /, **parameters: Any) -> Any:
        self._names.append(query.name)
        return self._inside.value(query, **parameters)

    def run(self, query: Any, touches: range = range(1, 2), /, **parameters: Any) -> int:
        self._names.append(query.name)
        return self._inside.run(query, touches, **parameters)

    def insert(self, query: Any, /, **parameters: Any) -> None:
        self._names.append(query.name)
        self._inside.insert(query, **parameters)

    def run_many(self, query: Any, parameters: Any, /, each: range = range(1, 2)) -> int:
        self._names.append(query.name)
        return self._inside.run_many(query, parameters, each)

    def run_each(self, query: Any, each: Any, /, **shared: Any) -> set[str]:
        self._names.append(query.name)
        return self._inside.run_each(query, each, **shared)

    def array(self, numbers: Any) -> Any:
        return self._inside.array(numbers)


class Watching(Around):
    """A database that notes the statements of each write."""

    def __init__(self, inside: Database) -> None:
        super().__init__(inside)
        self.seen: list[list[str]] = []

    async def write(self, fn: Callable[[Tx], T]) -> T:
        step, names = self._watched(fn)
        result = await self.inside.write(step)
        self.seen.append(names)
        return result

    async def write_together(self, fn: Callable[[Tx], T], *, alone: bool = False) -> T:
        step, names = self._watched(fn)
        result = await self.inside.write_together(step, alone=alone)
        self.seen.append(names)
        return result

    def _watched(self, fn: Callable[[Tx], T]) -> tuple[Callable[[Tx], T], list[str]]:
        names: list[str] = []

        def step(tx: Tx) -> T:
            names.clear()
            return fn(Watched(tx, names))

        return step, names


@pytest.mark.parametrize(
    "path", [f"{C}/register/email/requestToken", f"{C}/account/password/email/requestToken", "/_matrix/identity/v2/validate/email/requestToken"]
)  # fmt: skip
def test_the_answer_and_the_work_are_the_same(world: World, path: str) -> None:
    token = world.identity_token(world.register()) if "identity" in path else None
    watching = world.database.inside = Watching(world.database.inside)
    answers = []
    for address in (BOB, FINE):
        body = {"client_secret": "s2", "email": address, "send_attempt": 1}
        answer = world.post(path, body, token=token)
        answers.append((answer.status_code, sorted(answer.json()), len(answer.content), normalised(answer.headers)))
    assert answers[0] == answers[1]
    assert watching.seen[0] == watching.seen[1]
    assert "suppressions.get" in watching.seen[0]
    assert "outbox.insert" in watching.seen[0]
    assert [mail.recipient for mail in world.mails()][1:] == [FINE]
    assert len(jobs_to(world, BOB)) == 2


def test_limits_count_what_is_not_sent(database_url: str, tmp_path: Path) -> None:
    """Otherwise a caller could ask for codes to such an address without end, and recognise it by this."""
    with world_with_reports(database_url, tmp_path, limits__all="on") as world:
        send(world, notification(mail_to(world)))
        statuses = {}
        for address in (BOB, FINE):
            first = 1 if address == FINE else 2
            body = {"client_secret": "secret1", "email": address}
            statuses[address] = [
                world.post(f"{C}/register/email/requestToken", {**body, "send_attempt": attempt}).status_code
                for attempt in range(first, 6)
            ]
        assert statuses[BOB] == statuses[FINE][1:]
        assert 429 in statuses[BOB]


def test_the_sessions_code_is_wrong_like_any_other(world: World) -> None:
    body = {"client_secret": "s3", "email": BOB, "send_attempt": 1}
    sid = world.post(f"{C}/register/email/requestToken", body).json()["sid"]
    answer = world.post("/_threepid/client/v1/submit_token", {"sid": sid, "client_secret": "s3", "token": "000000"})
    assert answer.json()["errcode"] == "M_TOKEN_INCORRECT"
    assert len(suppressed(world)) == 1
