"""A51: an address is bound to the user whose own session proves it, and for nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_homeserver import FakeHomeserver, homeserver
from threepid.clock import DAY
from world import World

BIND = "/_matrix/identity/v2/3pid/bind"
C = "/_matrix/client/v3"
ADDRESS = "alice@example.com"
ALICE = "@alice:example.org"
BOB = "@bob:example.org"


def published(world: World, address: str = ADDRESS) -> list[str]:
    lookup = world.identity.lookup
    assert lookup is not None
    return [one.mxid for one in world.run(lookup.lookup_plain([("email", address)]))]


class People:
    """Alice has proven an address to the identity server; Bob wants it, or wants her to have his."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.access = {name: world.register(name) for name in ("alice", "bob")}
        self.identity = {name: world.identity_token(token, name) for name, token in self.access.items()}
        self.sid = world.validated(self.identity["alice"], ADDRESS, secret="alices")

    def bind(self, who: str | None, mxid: Any, **changes: Any) -> httpx.Response:
        body = {"sid": self.sid, "client_secret": "alices", "mxid": mxid, **changes}
        return self.world.post(BIND, body, token=self.identity[who] if who else None)

    def session(self, path: str, who: str | None, secret: str, address: str = ADDRESS) -> str:
        """A session that was opened and confirmed at the homeserver."""
        self.world.clock.advance(1)
        body = {"client_secret": secret, "email": address, "send_attempt": 1}
        token = self.access[who] if who else None
        opened = self.world.post(f"{C}/{path}/email/requestToken", body, token=token).json()
        submit = {"sid": opened["sid"], "client_secret": secret, "token": self.world.mail().code}
        assert self.world.post(opened["submit_url"], submit).json() == {"success": True}
        return str(opened["sid"])


@pytest.fixture
def people(world: World) -> People:
    return People(world)


NO_SESSION = (404, "M_NO_VALID_SESSION")
NOT_YOURS = (403, "M_UNAUTHORIZED")
OTHERS = [
    BOB, "@ALICE:example.org", "@alice:EXAMPLE.ORG", "@alice:example.org.", "@alice:example.org:443", "@alice:matrix.example.org",
    "@alice:evil.example", "@alice:example.org.evil.example", "@alicé:example.org", "@alice\u200b:example.org", "@alice :example.org",
    "@al%69ce:example.org", "@alice:example.org\n", "@alice:example.org:8448", "alice:example.org", "alice", "#alice:example.org", "",
]  # fmt: skip


@pytest.mark.parametrize("mxid", OTHERS)
def test_nobody_binds_for_another_user_than_themselves(people: People, mxid: str) -> None:
    answer = people.bind("alice", mxid)
    assert answer.status_code in (400, 403)
    if answer.status_code == 403:
        assert answer.json()["errcode"] == NOT_YOURS[1]
    assert published(people.world) == []
    # The session is as good as before.
    assert people.bind("alice", ALICE).status_code == 200
    assert published(people.world) == [ALICE]


@pytest.mark.parametrize("mxid", [None, True, 1, [], [ALICE], {"mxid": ALICE}, {}])
def test_a_user_is_a_text(people: People, mxid: Any) -> None:
    assert people.bind("alice", mxid).status_code == 400
    assert published(people.world) == []


@pytest.mark.parametrize("mxid", [BOB, ALICE])
def test_nobody_binds_by_anothers_session(people: People, mxid: str) -> None:
    answer = people.bind("bob", mxid)
    assert (answer.status_code, answer.json()["errcode"]) in (NO_SESSION, NOT_YOURS)
    unknown = people.bind("bob", mxid, sid="unknown")
    assert (answer.status_code, answer.json()) == (unknown.status_code, unknown.json())
    own = {"sid": people.sid, "client_secret": "alices", "id_server": "matrix.example.org"}
    through = people.world.post(f"{C}/account/3pid/bind", {**own, "id_access_token": people.identity["alice"]}, token=people.access["bob"])  # fmt: skip
    assert (through.status_code, through.json()["errcode"]) == NO_SESSION
    assert published(people.world) == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sid": "unknown"}, NO_SESSION),
        ({"client_secret": "bobs"}, NO_SESSION),
        ({"client_secret": "ALICES"}, NO_SESSION),
        ({"client_secret": "alice"}, NO_SESSION),
        ({"sid": "", "client_secret": ""}, (400, "M_INVALID_PARAM")),
    ],
)
def test_a_session_is_used_with_its_own_secret(people: People, changes: dict[str, str], error: tuple[int, str]) -> None:
    answer = people.bind("alice", ALICE, **changes)
    assert answer.status_code == error[0]
    assert published(people.world) == []


def test_nobody_binds_without_a_token_or_by_one_of_the_homeserver(people: People) -> None:
    assert people.bind(None, ALICE).status_code == 401
    body = {"sid": people.sid, "client_secret": "alices", "mxid": ALICE}
    for token in (people.access["alice"], "", "tpi_x"):
        assert people.world.post(BIND, body, token=token).status_code == 401
    assert people.world.post(f"{BIND}?access_token={people.identity['alice']}", body).status_code == 401
    assert people.world.post("/_matrix/identity/api/v1/3pid/bind", body).status_code == 404
    assert published(people.world) == []


@pytest.mark.parametrize("path", ["register", "account/3pid", "account/password"])
@pytest.mark.parametrize("opened_by", [None, "alice"])
def test_a_session_of_another_purpose_binds_nothing(people: People, path: str, opened_by: str | None) -> None:
    address = "new@example.com"
    if path == "account/password":
        address = ADDRESS
        assert people.world.add(people.access["alice"], people.sid, secret="alices").status_code == 200
        people.world.clock.advance(DAY)
    sid = people.session(path, opened_by, "purpose", address)
    for who, mxid in (("alice", ALICE), ("bob", BOB)):
        answer = people.bind(who, mxid, sid=sid, client_secret="purpose")
        assert (answer.status_code, answer.json()["errcode"]) == NO_SESSION
    own = {"sid": sid, "client_secret": "purpose", "id_server": "matrix.example.org"}
    through = {**own, "id_access_token": people.identity["alice"]}
    answer = people.world.post(f"{C}/account/3pid/bind", through, token=people.access["alice"])
    assert (answer.status_code, answer.json()["errcode"]) == NO_SESSION
    assert published(people.world, address) == []


def test_a_session_that_proves_nothing_binds_nothing(people: People) -> None:
    world = people.world
    world.clock.advance(1)
    sid = world.request_token(people.identity["bob"], "victim@example.com", secret="bobs")
    answer = people.bind("bob", BOB, sid=sid, client_secret="bobs")
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_SESSION_NOT_VALIDATED")
    world.clock.advance(2 * DAY)
    answer = people.bind("alice", ALICE)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_SESSION_EXPIRED")
    assert published(world) == published(world, "victim@example.com") == []


def test_what_is_bound_stays_with_its_user_until_somebody_proves_the_address_anew(people: People) -> None:
    world = people.world
    assert people.bind("alice", ALICE).status_code == 200
    for who, mxid in (("bob", BOB), ("bob", ALICE), ("alice", BOB)):
        assert people.bind(who, mxid).status_code in (403, 404)
    assert published(world) == [ALICE]
    # A used session does not bring back what was unbound.
    unbind = {"medium": "email", "address": ADDRESS, "id_server": "matrix.example.org"}
    assert world.post(f"{C}/account/3pid/unbind", unbind, token=people.access["alice"]).status_code == 200
    answer = people.bind("alice", ALICE)
    assert (answer.status_code, answer.json()["errcode"]) == NO_SESSION
    assert published(world) == []
    # Who reads the mailbox today decides.
    world.clock.advance(1)
    sid = world.validated(people.identity["bob"], ADDRESS, secret="bobs")
    assert people.bind("bob", BOB, sid=sid, client_secret="bobs").status_code == 200
    assert published(world) == [BOB]


def test_of_many_at_once_only_the_owner_of_the_session_binds(people: People) -> None:
    async def bind(who: str, mxid: str) -> int:
        body = {"sid": people.sid, "client_secret": "alices", "mxid": mxid}
        return (await people.world.acall("POST", BIND, body, token=people.identity[who])).status_code

    attempts = [("bob", BOB), ("bob", ALICE), ("alice", BOB), ("alice", ALICE)] * 5
    statuses = people.world.together(*(lambda one=one: bind(*one) for one in attempts))
    assert {one for one, status in zip(attempts, statuses, strict=True) if status == 200} == {("alice", ALICE)}
    assert published(people.world) == [ALICE]


# -- users of other homeservers


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FakeHomeserver]:
    with homeserver() as made:
        yield made


def test_users_of_another_homeserver_are_told_apart_by_its_name(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    with World(database_url, tmp_path, **elsewhere.settings) as world:
        people = People(world)
        other = world.post("/_matrix/identity/v2/account/register", elsewhere.openid("alice")).json()["token"]
        people.identity["other"] = other
        for mxid in (ALICE, elsewhere.user_id("alice"), elsewhere.user_id("bob"), elsewhere.user_id("alice").upper()):
            assert people.bind("other", mxid).status_code in (403, 404)
        world.clock.advance(1)
        sid = world.validated(other, "other@example.com", secret="others")
        own = {"sid": sid, "client_secret": "others"}
        assert people.bind("other", ALICE, **own).status_code == 403
        assert people.bind("alice", ALICE, **own).status_code == 404
        assert published(world, "other@example.com") == []
        assert people.bind("other", elsewhere.user_id("alice"), **own).status_code == 200
        assert published(world, "other@example.com") == [elsewhere.user_id("alice")]
