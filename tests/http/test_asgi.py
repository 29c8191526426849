"""The adapter: addresses behind proxies, paths, and failures."""

import asyncio
from ipaddress import ip_network
from pathlib import Path

import pytest

from threepid.http.asgi import _Deadline, _Request
from threepid.http.proxies import NO_ADDRESS, Proxies
from threepid.spec.errors import RequestTimeout, TooLarge
from world import World

TRUSTED = Proxies((ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8")))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1", "198.51.100.7, 10.1.1.1", "198.51.100.7"),
        ("127.0.0.1", "10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.7, nonsense", "127.0.0.1"),
        ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("", None, NO_ADDRESS),
        ("", "nonsense", NO_ADDRESS),
        ("", "198.51.100.7", "198.51.100.7"),  # over a Unix socket
        ("", "6.6.6.6, 198.51.100.7, 10.1.1.1", "198.51.100.7"),
    ],
)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    peer: str, forwarded_for: str | None, client: str
) -> None:
    assert TRUSTED.client(peer, forwarded_for) == client


@pytest.mark.parametrize("family", ["r0", "v3", "unstable"])
def test_the_token_is_taken_from_the_query_on_the_old_families_only(world: World, family: str) -> None:
    token = world.register()
    answer = world.get(f"/_matrix/client/{family}/account/whoami?access_token={token}")
    if family == "v3":
        assert (answer.status_code, answer.json()["errcode"]) == (401, "M_MISSING_TOKEN")
    else:
        assert answer.json()["user_id"] == "@alice:example.org"
    wrong = world.get(f"/_matrix/client/{family}/account/whoami", token="wrong")
    assert (wrong.status_code, wrong.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")


@pytest.mark.parametrize("in_query", [False, True])
def test_the_identity_api_takes_its_own_tokens_only_and_in_the_query_if_that_is_wished(
    database_url: str, tmp_path: Path, in_query: bool
) -> None:
    families = ["r0", "identity_v2"] if in_query else ["r0"]
    with World(database_url, tmp_path, server__query_token=families) as world:
        token = world.register()
        identity = world.identity_token(token)
        path = "/_matrix/identity/v2/account"
        assert (world.get(f"{path}?access_token={identity}").status_code == 200) == in_query
        for answer in (
            world.get(path),
            world.get(path, token=token),
            world.get(f"{path}?access_token={token}"),
            world.get(f"{path}?access_token={identity}", token="wrong"),
        ):
            assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")


def test_an_identity_token_ends_by_its_logout(world: World) -> None:
    identity = world.identity_token(world.register())
    assert world.get("/_matrix/identity/v2/account", token=identity).json() == {"user_id": "@alice:example.org"}
    assert world.post("/_matrix/identity/v2/account/logout", b"", token=identity).json() == {}
    assert world.get("/_matrix/identity/v2/account", token=identity).status_code == 401


def test_an_encoded_slash_is_part_of_a_segment(world: World) -> None:
    token = world.register("a/b")
    path = "/_matrix/client/v3/user/@a%2Fb:example.org/openid/request_token"
    assert world.post(path, {}, token=token).status_code == 200
    assert world.get("/_matrix/client/v3/account%2F3pid", token=token).status_code == 404


def test_a_failure_of_our_own_shows_nothing_of_itself(world: World) -> None:
    token = world.register()

    async def broken() -> None:
        raise RuntimeError("canary in the traceback")

    world.database.before_reads = broken
    answer = world.get("/_matrix/client/v3/account/whoami", token=token)
    assert answer.status_code == 500
    assert answer.json()["errcode"] == "M_UNKNOWN"
    assert "canary" not in answer.text


def test_roles_that_are_off_are_not_served(database_url: str, tmp_path: object) -> None:
    from pathlib import Path

    with World(database_url, Path(str(tmp_path)), identity=None) as world:
        assert world.get("/_matrix/identity/v2").status_code == 404
        assert world.get("/_matrix/client/versions").status_code == 200


def test_v1_is_off_but_for_the_public_keys(world: World) -> None:
    v1 = "/_matrix/identity/api/v1"
    assert world.get(f"{v1}/pubkey/ed25519:0").json() == world.get("/_matrix/identity/v2/pubkey/ed25519:0").json()
    assert world.get(f"{v1}/pubkey/ed25519:9").json()["errcode"] == "M_NOT_FOUND"
    key = world.get(f"{v1}/pubkey/ed25519:0").json()["public_key"]
    for base in (v1, "/_matrix/identity/v2"):
        assert world.get(f"{base}/pubkey/isvalid", params={"public_key": key}).json() == {"valid": True}
        assert world.get(f"{base}/pubkey/isvalid", params={"public_key": "x"}).json() == {"valid": False}
        assert world.get(f"{base}/pubkey/ephemeral/isvalid", params={"public_key": key}).json() == {"valid": False}
    for method, path in (
        ("POST", "validate/email/requestToken"),
        ("POST", "validate/email/submitToken"),
        ("GET", "validate/email/submitToken"),
        ("GET", "3pid/getValidated3pid"),
        ("POST", "3pid/bind"),
        ("GET", "lookup"),
        ("POST", "bulk_lookup"),
    ):
        assert world.call(method, f"{v1}/{path}").status_code == 404, path


def test_v1_from_listed_addresses_only(database_url: str, tmp_path: object) -> None:
    from pathlib import Path

    switches = {"validate": True, "validate_from": ["203.0.113.0/24"]}
    with World(database_url, Path(str(tmp_path)), identity__v1=switches) as world:
        path = "/_matrix/identity/api/v1/validate/email/requestToken"
        body = {"client_secret": "s", "email": "a@example.com", "send_attempt": 1}
        assert world.post(path, body).status_code == 403
        allowed = world.post(path, body, headers={"X-Forwarded-For": "203.0.113.9"})
        assert list(allowed.json()) == ["sid"]


def test_the_target_of_a_request_is_what_was_sent() -> None:
    scope = {
        "method": "GET",
        "path": "/a b/c",
        "raw_path": b"/a%20b/%63",
        "query_string": b"x=%41&y",
        "headers": [],
    }
    assert _Request(scope, None, TRUSTED).target == "/a%20b/%63?x=%41&y"
    assert _Request({**scope, "raw_path": None, "query_string": b""}, None, TRUSTED).target == "/a%20b/c"


@pytest.mark.parametrize("path", ["/_matrix/client/v3/createRoom", "/_matrix/client/v3/keys/upload", "/.well-known/x"])
def test_browsers_may_ask_for_what_is_not_served_too_and_then_see_that_it_is_not(world: World, path: str) -> None:
    asked = world.call("OPTIONS", path, headers={"Origin": "https://app.example"})
    assert (asked.status_code, asked.json()) == (200, {})
    assert asked.headers["Access-Control-Allow-Origin"] == "*"
    answer = world.post(path)
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_UNRECOGNIZED")


@pytest.mark.parametrize(
    ("query", "errcode"), [("timeout=soon", "M_INVALID_PARAM"), ("full_state=maybe", "M_INVALID_PARAM")]
)
def test_a_parameter_of_the_query_that_is_no_such_value_is_invalid(world: World, query: str, errcode: str) -> None:
    answer = world.get(f"/_matrix/client/v3/sync?{query}", token=world.register())
    assert (answer.status_code, answer.json()["errcode"]) == (400, errcode)


@pytest.mark.parametrize("token", ["", "x", "x" * 5000])
def test_whatever_is_no_token_is_an_unknown_one(world: World, token: str) -> None:
    refreshed = world.post("/_matrix/client/v3/refresh", {"refresh_token": token})
    assert (refreshed.status_code, refreshed.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    logged_in = world.post("/_matrix/client/v3/login", {"type": "m.login.token", "token": token})
    assert (logged_in.status_code, logged_in.json()["errcode"]) == (403, "M_FORBIDDEN")


def read_body(chunks: list[tuple[bytes, bool]], headers: dict[str, str]) -> tuple[bytes, int]:
    """What is read of a body that comes in `chunks`, and how many of these were asked for."""
    asked = 0

    async def receive() -> dict[str, object]:
        nonlocal asked
        chunk, more = chunks[asked]
        asked += 1
        return {"type": "http.request", "body": chunk, "more_body": more}

    scope = {
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    return asyncio.run(_Request(scope, receive, TRUSTED).body(100)), asked


def test_a_body_of_declared_length_is_read_to_its_last_byte_and_its_end_not_waited_for() -> None:
    assert read_body([(b"{", True), (b"}", True)], {"content-length": "2"}) == (b"{}", 2)
    assert read_body([], {"content-length": "0"}) == (b"", 0)


@pytest.mark.parametrize(
    "headers", [{}, {"transfer-encoding": "chunked"}, {"transfer-encoding": "chunked", "content-length": "1"}]
)
def test_a_body_of_no_declared_length_is_read_to_its_end(headers: dict[str, str]) -> None:
    assert read_body([(b"{", True), (b"}", True), (b"", False)], headers) == (b"{}", 3)


@pytest.mark.parametrize(
    ("chunks", "headers"),
    [
        ([], {"content-length": "101"}),
        ([], {"content-length": "0" * 19 + "5"}),
        ([], {"content-length": "9" * 5000}),
        ([(b"x" * 60, True), (b"x" * 60, True)], {}),
        ([(b"x" * 60, True), (b"x" * 60, True)], {"transfer-encoding": "chunked", "content-length": "60"}),
    ],
)
def test_a_body_that_is_too_large_is_not_read(chunks: list[tuple[bytes, bool]], headers: dict[str, str]) -> None:
    with pytest.raises(TooLarge):
        read_body(chunks, headers)


def test_a_deadline_ends_what_takes_longer() -> None:
    async def run() -> None:
        with pytest.raises(RequestTimeout), _Deadline(0.01):
            await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        with _Deadline(60):
            await asyncio.sleep(0)

    asyncio.run(run())


def test_a_task_that_somebody_cancels_ends_as_cancelled_and_not_as_late() -> None:
    async def run() -> None:
        entered = asyncio.Event()

        async def wait(seconds: float) -> None:
            with _Deadline(seconds):
                entered.set()
                await asyncio.Event().wait()

        for cancels_late in (False, True):
            entered.clear()
            task = asyncio.create_task(wait(0.01 if cancels_late else 60))
            await entered.wait()
            if cancels_late:
                # Both in one turn of the event loop: the deadline has cancelled the task, which has not run since.
                while not task.cancelling():
                    await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
