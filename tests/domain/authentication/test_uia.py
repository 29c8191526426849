"""Authentication sessions as a table of states and events, walked whole: what is answered, and what comes of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from world import World

PATH = "/_matrix/client/v3/register"
TERMS = {"id": "rules", "version": "1", "languages": {"en": {"name": "Rules", "url": "https://example.org/rules"}}}
BODY = {"username": "alice", "password": "long enough"}
IDLE = 15 * 60_000


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, accounts__terms=[TERMS], email=None) as made:
        yield made


class Session:
    """One session of a registration that takes `m.login.terms`, then `m.login.dummy`."""

    def __init__(self, world: World) -> None:
        self.world = world
        answer = world.post(PATH, BODY)
        assert answer.json()["flows"] == [{"stages": ["m.login.terms", "m.login.dummy"]}]
        self.id = answer.json()["session"]
        self.body: dict[str, Any] = BODY
        self.sent: dict[str, Any] = BODY

    def post(self, stage: str | None = None, *, body: dict[str, Any] | None = None) -> httpx.Response:
        self.sent = BODY if body is None else body
        auth = {"session": self.id} if stage is None else {"session": self.id, "type": f"m.login.{stage}"}
        return self.world.post(PATH, {**self.sent, "auth": auth})


# -- states: how one gets there from a new session


def begun(_session: Session) -> None:
    pass


def half(session: Session) -> None:
    assert session.post("terms").status_code == 401


def finished(session: Session) -> None:
    half(session)
    assert session.post("dummy").status_code == 200


def dead(session: Session) -> None:
    assert session.post("terms", body={**BODY, "username": "mallory"}).status_code == 403


def expired(session: Session) -> None:
    half(session)
    session.world.clock.advance(IDLE)


def unknown(session: Session) -> None:
    session.id += "x"


STATES = {state.__name__: state for state in (begun, half, finished, dead, expired, unknown)}
EVENTS: dict[str, Callable[[Session], httpx.Response]] = {
    "poll": lambda session: session.post(),
    "terms": lambda session: session.post("terms"),
    "dummy": lambda session: session.post("dummy"),
    "not offered": lambda session: session.post("password"),
    "terms, nothing else": lambda session: session.post("terms", body={}),
    "dummy, nothing else": lambda session: session.post("dummy", body={}),
    "changed": lambda session: session.post("terms", body={**BODY, "username": "mallory"}),
    "without": lambda session: session.world.post(PATH, BODY),
}
# What is answered (status, errcode, completed) and the state after it. NEW: another session was begun.
NEW = "new"
T = ["m.login.terms"]
GONE: dict[str, tuple[int, str | None, list[str], str]] = {event: (401, "M_FORBIDDEN", [], NEW) for event in EVENTS}
TABLE: dict[str, dict[str, tuple[int, str | None, list[str], str]]] = {
    "begun": {
        "poll": (401, None, [], "begun"),
        "terms": (401, None, T, "half"),
        "dummy": (401, "M_UNRECOGNIZED", [], "begun"),
        "not offered": (401, "M_UNRECOGNIZED", [], "begun"),
        "terms, nothing else": (401, None, T, "half"),
        "dummy, nothing else": (401, "M_UNRECOGNIZED", [], "begun"),
        "changed": (403, "M_FORBIDDEN", [], "dead"),
        "without": (401, None, [], NEW),
    },
    "half": {
        "poll": (401, None, T, "half"),
        "terms": (401, None, T, "half"),
        "dummy": (200, None, [], "finished"),
        "not offered": (401, "M_UNRECOGNIZED", T, "half"),
        "terms, nothing else": (401, None, T, "half"),
        "dummy, nothing else": (200, None, [], "finished"),
        "changed": (403, "M_FORBIDDEN", [], "dead"),
        "without": (401, None, [], NEW),
    },
    # Clients that lost the answer ask again, and get the same account; for others the username is taken.
    "finished": {
        "poll": (200, None, [], "finished"),
        "terms": (200, None, [], "finished"),
        "dummy": (200, None, [], "finished"),
        "not offered": (200, None, [], "finished"),
        "terms, nothing else": (200, None, [], "finished"),
        "dummy, nothing else": (200, None, [], "finished"),
        "changed": (403, "M_FORBIDDEN", [], "finished"),
        "without": (400, "M_USER_IN_USE", [], "finished"),
    },
    "dead": {**GONE, "without": (401, None, [], NEW)},
    "expired": {**GONE, "without": (401, None, [], NEW)},
    "unknown": {**GONE, "without": (401, None, [], NEW)},
}


def state_of(session: Session) -> str:
    """What a session does, told by asking it with the body that it is for."""
    answer = session.post(body=session.body)
    if answer.status_code == 200:
        assert answer.json()["user_id"] == "@alice:example.org"
        return "finished"
    if answer.json()["session"] != session.id:
        return "gone"
    return "half" if answer.json().get("completed") == T else "begun"


def test_the_table_is_whole() -> None:
    assert TABLE.keys() == STATES.keys()
    assert all(row.keys() == EVENTS.keys() for row in TABLE.values())


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_every_event_in_every_state(world: World, state: str, event: str) -> None:
    session = Session(world)
    STATES[state](session)
    answer = EVENTS[event](session)
    status, errcode, completed, after = TABLE[state][event]
    body = answer.json()
    assert (answer.status_code, body.get("errcode"), body.get("completed", [])) == (status, errcode, completed), body
    if status == 401:
        assert (body["session"] == session.id) == (after != NEW)
        assert body["flows"] == [{"stages": ["m.login.terms", "m.login.dummy"]}]
        assert body["params"] == {
            "m.login.terms": {"policies": {"rules": {"version": "1", **TERMS["languages"]}}}  # type: ignore[dict-item]
        }
    if after == NEW:
        session.id = body["session"]
        session.body = session.sent if event != "without" else BODY
        assert state_of(session) == "begun"
    else:
        assert state_of(session) == {"dead": "gone"}.get(after, after)
    taken = world.get("/_matrix/client/v3/register/available?username=alice").status_code == 400
    assert taken == (after == "finished")
    assert world.get("/_matrix/client/v3/register/available?username=mallory").status_code == 200
