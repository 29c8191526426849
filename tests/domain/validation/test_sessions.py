"""Validation sessions as a table of states and events, walked whole: what is answered, and what comes of it."""

from collections.abc import Callable

import httpx
import pytest

from world import Mail, World

MINUTE = 60_000
REQUEST = "/_matrix/identity/v2/validate/email/requestToken"
SUBMIT = "/_matrix/identity/v2/validate/email/submitToken"
VALIDATED = "/_matrix/identity/v2/3pid/getValidated3pid"
BIND = "/_matrix/identity/v2/3pid/bind"


class Session:
    """One session of the identity server's, and its first mail."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.identity = world.identity_token(world.register())
        self.sid = world.request_token(self.identity, attempt=1)
        self.mail: Mail = world.mail()

    def ask(self, attempt: int) -> httpx.Response:
        body = {"client_secret": "secret", "email": "alice@example.com", "send_attempt": attempt}
        return self.world.post(REQUEST, body, token=self.identity)

    def submit(self, token: str) -> httpx.Response:
        body = {"sid": self.sid, "client_secret": "secret", "token": token}
        return self.world.post(SUBMIT, body, token=self.identity)

    def validated(self) -> httpx.Response:
        return self.world.get(f"{VALIDATED}?sid={self.sid}&client_secret=secret", token=self.identity)

    def bind(self) -> httpx.Response:
        body = {"sid": self.sid, "client_secret": "secret", "mxid": "@alice:example.org"}
        return self.world.post(BIND, body, token=self.identity)

    @property
    def wrong_code(self) -> str:
        return f"{(int(self.mail.code) + 1) % 1_000_000:06}"


def opened(_session: Session) -> None:
    pass


def validated(session: Session) -> None:
    assert session.submit(session.mail.code).status_code == 200


def used(session: Session) -> None:
    validated(session)
    assert session.bind().status_code == 200


def guessed_at(session: Session) -> None:
    for _ in range(5):
        assert session.submit(session.wrong_code).status_code == 400


def stale(session: Session) -> None:
    session.world.clock.advance(10 * MINUTE)


def staler(session: Session) -> None:
    session.world.clock.advance(60 * MINUTE)


def over(session: Session) -> None:
    session.world.clock.advance(24 * 60 * MINUTE)


def validated_and_over(session: Session) -> None:
    validated(session)
    over(session)


STATES = {
    state.__name__: state for state in (opened, validated, used, guessed_at, stale, staler, over, validated_and_over)
}
EVENTS: dict[str, Callable[[Session], httpx.Response]] = {
    "right code": lambda session: session.submit(session.mail.code),
    "wrong code": lambda session: session.submit(session.wrong_code),
    "right link token": lambda session: session.submit(session.mail.link.removeprefix("/confirm/")),
    "click": lambda session: session.world.post(session.mail.link),
    "look at the link": lambda session: session.world.get(session.mail.link),
    "ask again": lambda session: session.ask(1),
    "ask for another mail": lambda session: session.ask(2),
    "look": lambda session: session.validated(),
    "use": lambda session: session.bind(),
}
# Status, errcode (None: none, or a page), and whether the session is validated afterwards.
NO, YES, GONE = "not validated", "validated", "gone"
# What is used is still shown, and the same use again is no error.
PROVEN: dict[str, tuple[int, str | None, str]] = {
    "right code": (200, None, YES),
    "wrong code": (400, "M_TOKEN_INCORRECT", YES),
    "right link token": (200, None, YES),
    "click": (200, None, YES),
    "look at the link": (200, None, YES),
    "ask again": (200, None, YES),
    "ask for another mail": (200, None, YES),
    "look": (200, None, YES),
    "use": (200, None, YES),
}
OVER: dict[str, tuple[int, str | None, str]] = {
    "right code": (400, "M_SESSION_EXPIRED", GONE),
    "wrong code": (400, "M_SESSION_EXPIRED", GONE),
    "right link token": (400, "M_SESSION_EXPIRED", GONE),
    "click": (404, None, GONE),
    "look at the link": (404, None, GONE),
    "ask again": (200, None, GONE),
    "ask for another mail": (200, None, GONE),
    "look": (400, "M_SESSION_EXPIRED", GONE),
    "use": (400, "M_SESSION_EXPIRED", GONE),
}
TABLE: dict[str, dict[str, tuple[int, str | None, str]]] = {
    "opened": {
        "right code": (200, None, YES),
        "wrong code": (400, "M_TOKEN_INCORRECT", NO),
        "right link token": (200, None, YES),
        "click": (200, None, YES),
        "look at the link": (200, None, NO),
        "ask again": (200, None, NO),
        "ask for another mail": (200, None, NO),
        "look": (400, "M_SESSION_NOT_VALIDATED", NO),
        "use": (400, "M_SESSION_NOT_VALIDATED", NO),
    },
    "validated": PROVEN,
    "used": PROVEN,
    "guessed_at": {
        "right code": (400, "M_SESSION_EXPIRED", NO),
        "wrong code": (400, "M_SESSION_EXPIRED", NO),
        "right link token": (400, "M_SESSION_EXPIRED", NO),
        "click": (404, None, NO),
        "look at the link": (404, None, NO),
        "ask again": (400, "M_SESSION_EXPIRED", NO),
        "ask for another mail": (400, "M_SESSION_EXPIRED", NO),
        "look": (400, "M_SESSION_NOT_VALIDATED", NO),
        "use": (400, "M_SESSION_NOT_VALIDATED", NO),
    },
    "stale": {
        "right code": (400, "M_SESSION_EXPIRED", NO),
        "wrong code": (400, "M_TOKEN_INCORRECT", NO),
        "right link token": (200, None, YES),
        "click": (200, None, YES),
        "look at the link": (200, None, NO),
        "ask again": (200, None, NO),
        "ask for another mail": (200, None, NO),
        "look": (400, "M_SESSION_NOT_VALIDATED", NO),
        "use": (400, "M_SESSION_NOT_VALIDATED", NO),
    },
    "staler": {
        "right code": (400, "M_SESSION_EXPIRED", NO),
        "wrong code": (400, "M_TOKEN_INCORRECT", NO),
        "right link token": (400, "M_SESSION_EXPIRED", NO),
        "click": (404, None, NO),
        "look at the link": (404, None, NO),
        "ask again": (200, None, NO),
        "ask for another mail": (200, None, NO),
        "look": (400, "M_SESSION_NOT_VALIDATED", NO),
        "use": (400, "M_SESSION_NOT_VALIDATED", NO),
    },
    "over": OVER,
    "validated_and_over": OVER,
}
# In which states a request for a message means another session.
OPENS_ANOTHER = {"used", "over", "validated_and_over"}
# In which states it sends a message: only for a number that is higher than any before, and not for what is proven.
SENDS = {
    ("opened", "ask for another mail"),
    ("stale", "ask for another mail"),
    ("staler", "ask for another mail"),
    *((state, event) for state in OPENS_ANOTHER for event in ("ask again", "ask for another mail")),
}


def state_of(session: Session) -> str:
    answer = session.validated()
    if answer.status_code == 200:
        return YES
    return {"M_SESSION_NOT_VALIDATED": NO, "M_SESSION_EXPIRED": GONE}[answer.json()["errcode"]]


def test_the_table_is_whole() -> None:
    assert TABLE.keys() == STATES.keys()
    assert all(row.keys() == EVENTS.keys() for row in TABLE.values())


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_every_event_in_every_state(world: World, state: str, event: str) -> None:
    session = Session(world)
    STATES[state](session)
    mails = len(world.mails())
    answer = EVENTS[event](session)
    status, errcode, after = TABLE[state][event]
    said = answer.json() if answer.headers["content-type"] == "application/json" else {}
    assert (answer.status_code, said.get("errcode")) == (status, errcode), answer.text
    assert state_of(session) == after
    if event.startswith("ask") and status == 200:
        assert (said["sid"] != session.sid) == (state in OPENS_ANOTHER)
    assert len(world.mails()) - mails == ((state, event) in SENDS)


@pytest.mark.parametrize("event", ["right code", "right link token", "click"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_each_message_of_a_session_proves_the_address(world: World, which: int, event: str) -> None:
    session = Session(world)
    for attempt in (2, 3):
        assert session.ask(attempt).json()["sid"] == session.sid
    mails = world.mails()
    session.mail = mails[which]
    assert len({mail.link for mail in mails}) == len({mail.code for mail in mails}) == 3
    assert EVENTS[event](session).status_code == 200
    assert state_of(session) == YES


@pytest.mark.parametrize("event", ["right code", "right link token"])
def test_a_later_message_lives_on_when_the_first_has_expired(world: World, event: str) -> None:
    session = Session(world)
    world.clock.advance(59 * MINUTE)
    session.ask(2)
    world.clock.advance(2 * MINUTE)
    first, second = session.mail, world.mails()[-1]
    assert EVENTS[event](session).json()["errcode"] == "M_SESSION_EXPIRED"
    assert world.get(first.link).status_code == 404
    session.mail = second
    assert EVENTS[event](session).status_code == 200
