"""Contacts are bound and unbound: at our own identity server at once, at others by requests that are signed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json
from unpaddedbase64 import decode_base64

from fake_identity_server import DROP, V1, V2, Asked, FakeIdentityServer
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.spec.signing import BadSignature, Signer, verify
from threepid.storage import outbox, threepids
from threepid.storage.engine.queries import Query
from world import PASSWORD, World

BIND = "/_matrix/client/v3/account/3pid/bind"
UNBIND = "/_matrix/client/v3/account/3pid/unbind"
DELETE = "/_matrix/client/v3/account/3pid/delete"
DEACTIVATE = "/_matrix/client/v3/account/deactivate"
OURS = "matrix.example.org"
ALICE = "@alice:example.org"
ADDRESS = {"medium": "email", "address": "Alice@Example.com"}
SUCCESS = {"id_server_unbind_result": "success"}
NO_SUPPORT = {"id_server_unbind_result": "no-support"}


@pytest.fixture
def home(database_url: str, tmp_path: Path, other: FakeIdentityServer) -> Iterator[World]:
    # What the contacts are told has its own tests.
    with World(database_url, tmp_path, accounts__notices=["deactivated"], **other.settings) as made:
        yield made


def creds(id_server: str, **more: Any) -> dict[str, Any]:
    return {"sid": "1", "client_secret": "secret", "id_server": id_server, "id_access_token": "token", **more}


def bound(home: World, user_id: str = ALICE) -> list[str]:
    found = home.run(home.server.context.database.read(lambda tx: threepids.bindings_of_user(tx, user_id)))
    return [f"{one.canonical} {one.id_server}" for one in found]


def waiting(home: World) -> int:
    return home.run(home.server.context.database.read(outbox.depth))


def published(home: World, address: str = "alice@example.com") -> list[str]:
    lookup = home.identity.lookup
    assert lookup is not None
    return [one.mxid for one in home.run(lookup.lookup_plain([("email", address)]))]


def deactivate(home: World, token: str, **more: Any) -> Any:
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    answer = home.post(DEACTIVATE, {"auth": auth, **more}, token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()


def public_key(home: World, key_id: str) -> bytes:
    """The key as everybody can get it, checked as everybody should."""
    document = home.get("/_matrix/key/v2/server").json()
    raw = decode_base64(document["verify_keys"][key_id]["key"])
    verify_signed_json(document, "example.org", decode_verify_key_bytes(key_id, raw))
    return raw


def check_signature(home: World, asked: Asked, destination: str) -> None:
    signature = asked.signature
    assert (signature.origin, signature.destination) == ("example.org", destination)
    verify(signature, public_key(home, signature.key_id), asked.signed, destination)


# -- binding


def test_an_address_is_bound_at_another_server_and_is_no_contact_by_that(
    home: World, other: FakeIdentityServer
) -> None:
    token = home.register()
    assert home.post(BIND, creds(other.name), token=token).json() == {}
    (asked,) = other.asked
    assert (asked.method, asked.uri, asked.token) == ("POST", f"{V2}/3pid/bind", "token")
    assert asked.body == {"sid": "1", "client_secret": "secret", "mxid": ALICE}
    assert asked.headers["host"] == other.name
    assert home.contacts(token) == []
    assert bound(home) == [f"alice@example.com {other.name}"]


@pytest.mark.parametrize("token", ["token", None])
def test_an_old_server_and_an_old_client_speak_v1(home: World, other: FakeIdentityServer, token: str | None) -> None:
    del other.replies[f"{V2}/3pid/bind"]
    other.binds("email", "alice@example.com", version=V1)
    body = creds(other.name.upper())
    if token is None:
        del body["id_access_token"]
    assert home.post(BIND, body, token=home.register()).json() == {}
    assert other.paths() == [*([f"{V2}/3pid/bind"] if token else []), f"{V1}/3pid/bind"]
    assert other.asked[-1].token is None
    assert bound(home) == [f"alice@example.com {other.name}"]


def test_our_own_identity_server_binds_without_being_called(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    identity = home.identity_token(token)
    sid = home.request_token(identity)
    body = creds(OURS.upper(), sid=sid, id_access_token=identity)
    early = home.post(BIND, body, token=token)
    assert (early.status_code, early.json()["errcode"]) == (400, "M_SESSION_NOT_VALIDATED")
    submit = {"sid": sid, "client_secret": "secret", "token": home.mail().code}
    home.post("/_matrix/identity/v2/validate/email/submitToken", submit, token=identity)
    for _ in range(2):  # a client that lost the answer asks again
        assert home.post(BIND, body, token=token).json() == {}
    assert published(home) == [ALICE]
    assert bound(home) == [f"alice@example.com {OURS}"]
    assert home.contacts(token) == []
    assert other.asked == []


def test_nobody_binds_by_anothers_session(home: World) -> None:
    alice, bob = home.register("alice"), home.register("bob")
    sid = home.validated(home.identity_token(alice))
    for body in (creds(OURS, sid=sid), creds(OURS, sid="unknown"), creds(OURS, sid=sid, client_secret="wrong")):
        refused = home.post(BIND, body, token=bob)
        assert (refused.status_code, refused.json()["errcode"]) == (404, "M_NO_VALID_SESSION")
    assert published(home) == []
    assert home.post(BIND, creds(OURS, sid=sid), token=alice).json() == {}


@pytest.mark.parametrize(
    ("status", "errcode", "passed_on"),
    [
        (404, "M_NO_VALID_SESSION", (404, "M_NO_VALID_SESSION")),
        (400, "M_SESSION_NOT_VALIDATED", (400, "M_SESSION_NOT_VALIDATED")),
        (403, "M_TERMS_NOT_SIGNED", (403, "M_TERMS_NOT_SIGNED")),
        (400, "ORG.EXAMPLE.OWN_CODE", (400, "ORG.EXAMPLE.OWN_CODE")),
        (401, "M_UNAUTHORIZED", (403, "M_UNAUTHORIZED")),
        (200, "M_NO_VALID_SESSION", (400, "M_NO_VALID_SESSION")),
        (302, "M_FORBIDDEN", (400, "M_FORBIDDEN")),
        # A client must not take its session with us for ended because another server says so.
        (401, "M_UNKNOWN_TOKEN", (403, "M_UNAUTHORIZED")),
        (403, "M_USER_LOCKED", (403, "M_UNAUTHORIZED")),
        (500, "M_UNKNOWN", (502, "M_UNKNOWN")),
        (502, "M_FORBIDDEN", (502, "M_UNKNOWN")),
        (400, "<script>", (502, "M_UNKNOWN")),
    ],
)
def test_what_the_identity_server_says_is_passed_on(
    home: World, other: FakeIdentityServer, status: int, errcode: str, passed_on: tuple[int, str]
) -> None:
    other.replies[f"{V2}/3pid/bind"] = status, {"errcode": errcode, "error": "It says why.", "soft_logout": True}
    answer = home.post(BIND, creds(other.name), token=home.register())
    assert (answer.status_code, answer.json()["errcode"]) == passed_on
    expected = "The identity server is unreachable." if passed_on[0] == 502 else "It says why."
    assert answer.json()["error"] == expected
    assert set(answer.json()) == {"errcode", "error"}
    assert len(other.asked) == 1
    assert bound(home) == []


def test_a_limit_of_the_identity_server_is_passed_on_with_its_time(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    for wait, told in ((1500, 1500), (10**12, DAY), ("soon", 5000)):
        other.replies[f"{V2}/3pid/bind"] = 429, {"errcode": "M_LIMIT_EXCEEDED", "error": "x", "retry_after_ms": wait}
        answer = home.post(BIND, creds(other.name), token=token)
        assert (answer.status_code, answer.json()["retry_after_ms"]) == (429, told)


def test_servers_that_are_not_allowed_are_not_asked(
    database_url: str, tmp_path: Path, other: FakeIdentityServer
) -> None:
    settings = {**other.settings, "accounts__identity_servers_allowed": ["*.example"]}
    with World(database_url, tmp_path, **settings) as home:
        token = home.register()
        for name in (other.name, "127.0.0.1", "x y", "evil.example.org"):
            refused = home.post(BIND, creds(name), token=token)
            assert (refused.status_code, refused.json()["errcode"]) == (400, "M_SERVER_NOT_TRUSTED")
            assert home.post(UNBIND, {**ADDRESS, "id_server": name}, token=token).json() == NO_SUPPORT
        # Our own needs no leave.
        sid = home.validated(home.identity_token(token))
        assert home.post(BIND, creds(OURS, sid=sid), token=token).json() == {}
        assert deactivate(home, token, id_server=other.name) == NO_SUPPORT
    assert other.asked == []


def test_addresses_that_must_not_be_called_are_not(
    database_url: str, tmp_path: Path, other: FakeIdentityServer
) -> None:
    with World(database_url, tmp_path, outbound__ca_file=other.ca_file) as home:
        token = home.register()
        refused = home.post(BIND, creds(other.name), token=token)
        assert (refused.status_code, refused.json()["errcode"]) == (502, "M_UNKNOWN")
        assert "127" not in refused.text
        assert home.post(UNBIND, {**ADDRESS, "id_server": other.name}, token=token).json() == NO_SUPPORT
    assert other.asked == []


def test_where_changes_are_off_addresses_can_be_unbound_and_not_bound(
    database_url: str, tmp_path: Path, other: FakeIdentityServer
) -> None:
    with World(database_url, tmp_path, **other.settings) as home:
        home.post(BIND, creds(other.name), token=(token := home.register()))
        with home.again(policy__changes_allowed=False) as strict:
            refused = strict.post(BIND, creds(other.name), token=token)
            assert (refused.status_code, refused.json()["errcode"]) == (403, "M_FORBIDDEN")
            assert strict.post(UNBIND, ADDRESS, token=token).json() == SUCCESS


def test_an_account_binds_so_much_and_no_more(database_url: str, tmp_path: Path, other: FakeIdentityServer) -> None:
    def numbered(asked: Asked) -> tuple[int, Any]:
        return 200, {"medium": "email", "address": f"a{len(other.asked)}@example.com", "mxid": asked.body["mxid"]}

    other.replies[f"{V2}/3pid/bind"] = numbered
    with World(database_url, tmp_path, **other.settings, policy__contacts_per_account=1) as home:
        token = home.register()
        answers = [home.post(BIND, creds(other.name), token=token).status_code for _ in range(6)]
        assert answers == [200, 200, 200, 200, 200, 403]
        assert (len(other.asked), len(bound(home))) == (5, 5)


# -- unbinding


@pytest.mark.parametrize("named", [True, False])
def test_an_address_is_unbound_by_a_request_that_our_published_key_signed(
    home: World, other: FakeIdentityServer, named: bool
) -> None:
    token = home.register()
    home.add(token, home.validated(home.identity_token(token)))
    home.post(BIND, creds(other.name), token=token)
    body = {**ADDRESS, "id_server": other.name.upper()} if named else ADDRESS
    assert home.post(UNBIND, body, token=token).json() == SUCCESS
    asked = other.asked[-1]
    assert (asked.method, asked.uri) == ("POST", f"{V2}/3pid/unbind")
    assert asked.body == {"mxid": ALICE, "threepid": {"medium": "email", "address": "alice@example.com"}}
    check_signature(home, asked, other.name)
    assert home.contacts(token) == ["alice@example.com"]
    assert (bound(home), waiting(home)) == ([], 0)
    # It is bound there no more, so nobody is asked again.
    assert home.post(UNBIND, ADDRESS, token=token).json() == NO_SUPPORT
    assert len(other.asked) == 2


def verifying(home: World, member: str, version: str) -> Callable[[Asked], tuple[int, Any]]:
    """A server that verifies one form of the signature, as the family of Sydent does with `destination_is`."""
    key = home.server.services.keyring.current
    signer = Signer("example.org", key.key)

    def answer(asked: Asked) -> tuple[int, Any]:
        destination = asked.headers["host"]
        expected = signer.authorization(asked.signed, destination, member=member)
        if asked.uri == f"{version}/3pid/unbind" and asked.headers["authorization"] == expected:
            return 200, {}
        return 401, {"errcode": "M_FORBIDDEN", "error": "Unable to verify signature"}

    return answer


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("member", ["destination", "destination_is"])
def test_servers_that_verify_otherwise_are_asked_in_their_way(
    home: World, other: FakeIdentityServer, member: str, version: str
) -> None:
    token = home.register()
    home.post(BIND, creds(other.name), token=token)
    for path in (V1, V2):
        other.replies[f"{path}/3pid/unbind"] = verifying(home, member, version)
    assert home.post(UNBIND, ADDRESS, token=token).json() == SUCCESS


def test_a_server_with_v1_only_is_asked_there(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    home.post(BIND, creds(other.name), token=token)
    other.replies[f"{V2}/3pid/unbind"] = 404, b"<h1>Not Found</h1>"
    other.unbinds(version=V1)
    assert home.post(UNBIND, ADDRESS, token=token).json() == SUCCESS
    assert other.paths()[1:] == [f"{V2}/3pid/unbind", f"{V1}/3pid/unbind"]
    verify(other.asked[-1].signature, public_key(home, "ed25519:0"), other.asked[-1].signed, other.name)
    with pytest.raises(BadSignature):
        verify(other.asked[1].signature, public_key(home, "ed25519:0"), other.asked[-1].signed, other.name)


@pytest.mark.parametrize(
    "reply",
    [
        (400, b"no"),
        (404, b"no"),
        (404, {"errcode": "M_UNRECOGNIZED", "error": "x"}),
        (501, b"no"),
        (501, {"errcode": "M_UNKNOWN", "error": "x"}),
        (400, {"errcode": "M_INVALID_PARAM", "error": "x"}),
        (404, {"errcode": "M_NOT_FOUND", "error": "x"}),
        (403, {"errcode": "M_FORBIDDEN", "error": "x"}),
        (401, b""),
        (200, {"errcode": "M_UNKNOWN", "error": "alice@example.com"}),
        (301, b""),
    ],
    ids=str,
)
def test_a_server_that_cannot_or_will_not_is_left_alone(home: World, other: FakeIdentityServer, reply: Any) -> None:
    token = home.register()
    home.post(BIND, creds(other.name), token=token)
    for version in (V1, V2):
        other.replies[f"{version}/3pid/unbind"] = reply
    assert home.post(UNBIND, ADDRESS, token=token).json() == NO_SUPPORT
    assert waiting(home) == 0
    count = len(other.asked)
    assert count <= 5
    home.clock.advance(DAY)
    assert home.run(home.server.worker.run_once()) == 0
    # It may be there still, so it is remembered, and asked for once more when the person wants that.
    assert bound(home) == [f"alice@example.com {other.name}"]
    other.unbinds()
    assert home.post(UNBIND, ADDRESS, token=token).json() == SUCCESS
    assert bound(home) == []


def test_what_is_not_known_changes_nothing(home: World, other: FakeIdentityServer) -> None:
    token, bob = home.register(), home.register("bob")
    home.add(token, home.validated(home.identity_token(token)), bind=True)
    for body in (ADDRESS, {**ADDRESS, "id_server": OURS}):
        assert home.post(UNBIND, body, token=bob).json() == NO_SUPPORT
    for address in ("nobody@example.com", "", "no address", "alice@example.com\n"):
        body = {"medium": "email", "address": address}
        assert home.post(UNBIND, body, token=token).json() == NO_SUPPORT
        assert home.post(UNBIND, {**body, "id_server": OURS}, token=token).json() == NO_SUPPORT
    assert published(home) == [ALICE]
    assert other.asked == []


def test_a_server_that_we_did_not_bind_at_is_asked_once_if_it_is_named(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    assert home.post(UNBIND, {**ADDRESS, "id_server": other.name}, token=token).json() == SUCCESS
    assert other.paths() == [f"{V2}/3pid/unbind"]
    other.replies[f"{V2}/3pid/unbind"] = 500, b""
    assert home.post(UNBIND, {**ADDRESS, "id_server": other.name}, token=token).json() == NO_SUPPORT
    assert (len(other.asked), waiting(home)) == (2, 0)


@pytest.mark.parametrize("named", [True, False])
def test_our_own_identity_server_forgets_at_once(home: World, named: bool) -> None:
    token = home.register()
    home.add(token, home.validated(home.identity_token(token)), bind=True)
    body = {**ADDRESS, "id_server": OURS.upper()} if named else ADDRESS
    assert home.post(UNBIND, body, token=token).json() == SUCCESS
    assert (published(home), bound(home), home.contacts(token)) == ([], [], ["alice@example.com"])
    assert home.post(UNBIND, body, token=token).json() == NO_SUPPORT


def test_what_was_bound_without_the_homeserver_is_unbound_with_the_contact(home: World) -> None:
    token = home.register()
    identity = home.identity_token(token)
    home.add(token, home.validated(identity))
    home.clock.advance(1)
    body = {"sid": home.validated(identity, secret="t"), "client_secret": "t", "mxid": ALICE}
    home.post("/_matrix/identity/v2/3pid/bind", body, token=identity)
    assert (published(home), bound(home)) == ([ALICE], [])
    assert home.post(DELETE, ADDRESS, token=token).json() == SUCCESS
    assert published(home) == []


def test_removing_a_contact_unbinds_it_where_it_was_bound_or_where_the_client_says(
    home: World, other: FakeIdentityServer
) -> None:
    token = home.register()
    identity = home.identity_token(token)
    home.add(token, home.validated(identity), bind=True)
    home.post(BIND, creds(other.name), token=token)
    assert home.post(DELETE, {**ADDRESS, "id_server": OURS}, token=token).json() == SUCCESS
    assert (published(home), len(other.asked), bound(home)) == ([], 1, [f"alice@example.com {other.name}"])
    assert home.contacts(token) == []
    home.clock.advance(1)
    home.add(token, home.validated(identity, secret="t"), secret="t", bind=True)
    assert home.post(DELETE, ADDRESS, token=token).json() == SUCCESS
    assert (published(home), bound(home), home.contacts(token)) == ([], [], [])
    check_signature(home, other.asked[-1], other.name)
    assert len(other.asked) == 2


# -- what fails is done later


def test_a_server_that_was_down_is_asked_until_it_answers(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    home.add(token, home.validated(home.identity_token(token)))
    home.post(BIND, creds(other.name), token=token)
    other.stop()
    assert home.post(DELETE, ADDRESS, token=token).json() == NO_SUPPORT
    assert home.contacts(token) == []
    assert (waiting(home), bound(home)) == (1, [f"alice@example.com {other.name}"])
    work = home.server.worker.run_once
    home.clock.advance(29 * SECOND)
    assert home.run(work()) == 0  # the try that was made at once is not made twice
    home.clock.advance(SECOND)
    assert home.run(work()) == 1
    home.clock.advance(2 * MINUTE - 1)
    assert home.run(work()) == 0
    home.clock.advance(1)
    other.start()
    count = len(other.asked)
    with home.again() as restarted:
        assert restarted.run(restarted.server.worker.run_once()) == 1
    assert len(other.asked) == count + 1
    check_signature(home, other.asked[-1], other.name)
    assert (waiting(home), bound(home)) == (0, [])
    home.clock.advance(DAY)
    assert home.run(work()) == 0


def test_it_is_asked_ever_more_rarely_and_for_a_week_at_most(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    home.post(BIND, creds(other.name), token=token)
    other.replies[f"{V2}/3pid/unbind"] = 503, b""
    assert home.post(UNBIND, ADDRESS, token=token).json() == NO_SUPPORT
    asked = len(other.asked)
    home.clock.advance(30 * SECOND)
    for _ in range(7 * 24 * 12 + 1):
        home.run(home.server.worker.run_once())
        home.clock.advance(5 * MINUTE)
    tries = len(other.asked) - asked
    assert 25 <= tries <= 45
    assert waiting(home) == 0
    home.clock.advance(DAY)
    home.run(home.server.worker.run_once())
    assert len(other.asked) - asked == tries


def test_asking_again_and_again_leaves_one_order(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    home.post(BIND, creds(other.name), token=token)
    other.replies[f"{V2}/3pid/unbind"] = DROP
    for _ in range(3):
        home.clock.advance(1)
        assert home.post(UNBIND, ADDRESS, token=token).json() == NO_SUPPORT
    assert waiting(home) == 1
    other.unbinds()
    assert home.post(UNBIND, ADDRESS, token=token).json() == SUCCESS
    assert (waiting(home), bound(home)) == (0, [])


def test_an_address_that_was_bound_anew_is_not_unbound_by_an_old_job(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    home.post(BIND, creds(other.name), token=token)
    other.replies[f"{V2}/3pid/unbind"] = 503, b""
    home.post(UNBIND, ADDRESS, token=token)
    home.clock.advance(1)
    home.post(BIND, creds(other.name), token=token)
    other.unbinds()
    count = len(other.asked)
    home.clock.advance(HOUR)
    assert home.run(home.server.worker.run_once()) == 1
    assert (len(other.asked), waiting(home)) == (count, 0)
    assert bound(home) == [f"alice@example.com {other.name}"]
    # And a newer wish is one of its own.
    other.replies[f"{V2}/3pid/unbind"] = 503, b""
    home.post(UNBIND, ADDRESS, token=token)
    other.unbinds()
    home.clock.advance(HOUR)
    assert home.run(home.server.worker.run_once()) == 1
    assert bound(home) == []


# -- the end of an account


def test_the_end_of_an_account_unbinds_everything(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    identity = home.identity_token(token)
    home.add(token, home.validated(identity), bind=True)
    home.clock.advance(1)
    body = {"sid": home.validated(identity, "b@example.com"), "client_secret": "secret", "mxid": ALICE}
    home.post("/_matrix/identity/v2/3pid/bind", body, token=identity)
    other.binds("email", "c@example.com")
    home.post(BIND, creds(other.name), token=token)
    assert deactivate(home, token) == SUCCESS
    assert len(home.mails()) == 3  # two codes, and what the contact is told
    assert (published(home), published(home, "b@example.com"), bound(home), waiting(home)) == ([], [], [], 0)
    (_, asked) = other.asked
    assert asked.body["threepid"]["address"] == "c@example.com"
    check_signature(home, asked, other.name)


def test_a_named_server_is_asked_for_all_contacts_of_an_account_that_ends(
    home: World, other: FakeIdentityServer
) -> None:
    token = home.register()
    identity = home.identity_token(token)
    home.add(token, home.validated(identity), bind=True)
    home.clock.advance(1)
    home.add(token, home.validated(identity, "b@example.com"))
    assert deactivate(home, token, id_server=other.name) == SUCCESS
    asked = sorted(one.body["threepid"]["address"] for one in other.asked)
    assert asked == ["alice@example.com", "b@example.com"]
    assert published(home) == []  # a dead account leaves nothing behind


def test_an_account_that_bound_nothing_ends_with_success(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    home.add(token, home.validated(home.identity_token(token)))
    assert deactivate(home, token) == SUCCESS
    assert other.asked == []


def kept_name(home: World) -> object:
    statement = "SELECT displayname FROM profiles LIMIT 1"
    query = Query("test", statement, statement)
    return home.run(home.server.context.database.read(lambda tx: tx.value(query)))


@pytest.mark.parametrize("erase", [True, False])
def test_the_profile_is_erased_if_that_is_wanted(home: World, erase: bool) -> None:
    token = home.register()
    path = f"/_matrix/client/v3/profile/{ALICE}/displayname"
    home.call("PUT", path, {"displayname": "Alice"}, token=token)
    deactivate(home, token, erase=erase)
    # An account that has ended shows nothing either way; what is kept is in the database only.
    assert home.get(path).status_code == 404
    assert kept_name(home) == (None if erase else "Alice")


def test_what_is_bound_while_the_account_ends_is_unbound(home: World, other: FakeIdentityServer) -> None:
    token = home.register()

    def slowly(asked: Asked) -> tuple[int, Any]:
        with home.again() as elsewhere:
            deactivate(elsewhere, token)
        return 200, {"medium": "email", "address": "alice@example.com", "mxid": asked.body["mxid"]}

    other.replies[f"{V2}/3pid/bind"] = slowly
    home.post(BIND, creds(other.name), token=token)
    assert (bound(home), waiting(home)) == ([], 1)
    home.clock.advance(MINUTE)
    home.run(home.server.worker.run_once())
    assert other.paths() == [f"{V2}/3pid/bind", f"{V2}/3pid/unbind"]
