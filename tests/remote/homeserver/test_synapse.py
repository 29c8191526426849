"""Calls to a Synapse: the same facts of the fake and, where it is installed, of a real one."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from fake_synapse import DROP, HANG, Called, FakeSynapse, fake_synapse
from real_synapse import SECRET, RealSynapse, needs_synapse, real_synapse
from threepid.config import Secret
from threepid.remote.guard import RemoteError, RemoteRefused, Unreachable
from threepid.remote.homeserver.synapse import Failed, Synapse, WrongSecret

T = TypeVar("T")


@pytest.fixture
def fake() -> Iterator[FakeSynapse]:
    with fake_synapse() as made:
        yield made


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSynapse]:
    with real_synapse(tmp_path_factory.mktemp("synapse"), "http://127.0.0.1:1/") as made:
        yield made


@pytest.fixture(params=["fake", pytest.param("real", marks=needs_synapse)])
def port(request: pytest.FixtureRequest) -> int:
    found: int = request.getfixturevalue(request.param).port
    return found


@pytest.fixture
def names() -> Callable[[], str]:
    """Users that no other test has made."""
    made = iter(range(99))
    return lambda: f"user{time.monotonic_ns()}-{next(made)}"


def client(port: int, secret: str = SECRET, **more: Any) -> Synapse:
    return Synapse(f"http://127.0.0.1:{port}/", Secret(secret), **more)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def refusal(work: Coroutine[Any, Any, object]) -> tuple[int, str]:
    with pytest.raises(RemoteRefused) as raised:
        run(work)
    return raised.value.status, raised.value.errcode


def test_a_user_is_made_once_and_changed_by_what_is_named(port: int, names: Callable[[], str]) -> None:
    synapse, name = client(port), names()
    assert run(synapse.query_user(name)) is None
    run(synapse.is_localpart_available(name))
    run(synapse.provision_user(name))
    run(synapse.provision_user(name, emails=[f"{name}@example.com"], locked=False))
    assert refusal(synapse.is_localpart_available(name)) == (400, "M_USER_IN_USE")
    user = run(synapse.query_user(name))
    assert user is not None
    assert (user.user_id, user.is_deactivated) == (f"@{name}:example.org", False)
    run(synapse.provision_user(name, emails=[]))


def test_names_of_digits_or_with_an_underscore_first_are_refused(port: int) -> None:
    for name in ("_alice", "12345"):
        assert refusal(client(port).is_localpart_available(name)) == (400, "M_INVALID_USERNAME")


def test_devices_come_and_go_and_unknown_users_have_none(port: int, names: Callable[[], str]) -> None:
    synapse, name = client(port), names()
    assert refusal(synapse.upsert_device(name, "PHONE", None)) == (404, "M_NOT_FOUND")
    assert refusal(synapse.sync_devices(name, [])) == (404, "M_NOT_FOUND")
    run(synapse.provision_user(name))
    run(synapse.upsert_device(name, "PHONE", "x" * 300))
    run(synapse.upsert_device(name, "PHONE", None))
    run(synapse.sync_devices(name, ["PHONE", "LAPTOP"]))
    run(synapse.sync_devices(name, []))


def test_a_deactivated_user_stays_known_and_can_come_back(port: int, names: Callable[[], str]) -> None:
    synapse, name = client(port), names()
    assert refusal(synapse.delete_user(name, erase=False)) == (404, "M_NOT_FOUND")
    run(synapse.provision_user(name))
    for _ in range(2):
        run(synapse.delete_user(name, erase=True))
    user = run(synapse.query_user(name))
    assert user is not None
    assert user.is_deactivated
    assert refusal(synapse.is_localpart_available(name)) == (400, "M_USER_IN_USE")
    for _ in range(2):
        run(synapse.reactivate_user(name))
    user = run(synapse.query_user(name))
    assert user is not None
    assert not user.is_deactivated


def test_a_reset_of_keys_is_allowed_even_without_keys(port: int, names: Callable[[], str]) -> None:
    synapse, name = client(port), names()
    assert refusal(synapse.allow_cross_signing_reset(name)) == (404, "M_NOT_FOUND")
    run(synapse.provision_user(name))
    run(synapse.allow_cross_signing_reset(name))


def test_a_wrong_secret_is_no_refusal_of_the_call(port: int) -> None:
    with pytest.raises(WrongSecret):
        run(client(port, "wrong").query_user("alice"))


@needs_synapse
def test_what_only_a_real_synapse_has(real: RealSynapse, names: Callable[[], str]) -> None:
    synapse, name = client(real.port), names()
    run(synapse.provision_user(name))
    run(synapse.set_displayname(name, "Alice"))
    user = run(synapse.query_user(name))
    assert user is not None
    assert user.display_name == "Alice"
    run(synapse.unset_displayname(name))
    run(synapse.upsert_device(name, "PHONE", None))
    run(synapse.update_device_display_name(name, "PHONE", "Phone"))
    for _ in range(2):
        run(synapse.delete_device(name, "PHONE"))
    assert refusal(synapse.update_device_display_name(name, "PHONE", "Phone"))[0] == 404


@pytest.mark.parametrize(
    "reply",
    [
        (500, {"errcode": "M_UNKNOWN"}),
        (502, b"<html>"),
        (429, {"errcode": "M_LIMIT_EXCEEDED"}),
        (404, b"not here"),
        (404, {"errcode": "M_UNRECOGNIZED"}),
        (302, b""),
    ],
)
def test_what_may_pass_is_no_refusal(fake: FakeSynapse, reply: Any) -> None:
    fake.replies["provision_user"] = reply
    with pytest.raises(Failed):
        run(client(fake.port).provision_user("alice"))


def test_a_call_that_was_not_answered_may_have_been_done(fake: FakeSynapse) -> None:
    for reply in (DROP, HANG):
        fake.replies["provision_user"] = reply
        with pytest.raises(RemoteError) as raised:
            run(client(fake.port, total_seconds=1.0).provision_user("alice"))
        assert not isinstance(raised.value, Failed | Unreachable)


def test_a_user_whom_two_calls_make_at_once_is_changed_by_the_second(fake: FakeSynapse) -> None:
    """A real Synapse refuses one of the two, though each would be right alone."""

    def refuse_once(_called: Called) -> tuple[int, Any] | None:
        return (400, {"errcode": "M_USER_IN_USE", "error": "User ID already taken."}) if len(fake.calls) == 1 else None

    fake.replies["provision_user"] = refuse_once
    run(client(fake.port).provision_user("alice", emails=["alice@example.com"]))
    assert fake.names() == ["provision_user"] * 2
    assert fake.users["alice"].emails == ["alice@example.com"]


def test_a_name_that_stays_taken_is_refused(fake: FakeSynapse) -> None:
    fake.replies["provision_user"] = (400, {"errcode": "M_USER_IN_USE", "error": "User ID already taken."})
    assert refusal(client(fake.port).provision_user("alice")) == (400, "M_USER_IN_USE")
    assert len(fake.calls) == 2


@needs_synapse
def test_two_registrations_of_one_user_at_once_make_one_user(real: RealSynapse, names: Callable[[], str]) -> None:
    async def both() -> None:
        synapse, localpart = client(real.port), names()
        await asyncio.gather(*(synapse.provision_user(localpart, emails=[]) for _ in range(5)))
        assert await synapse.query_user(localpart) is not None

    for _ in range(5):
        run(both())


def test_an_absent_homeserver_was_sent_nothing(fake: FakeSynapse) -> None:
    fake.stop()
    with pytest.raises(Unreachable):
        run(client(fake.port).provision_user("alice"))


def test_huge_and_false_answers_are_errors(fake: FakeSynapse) -> None:
    for reply in ((200, b"x" * 1_000_001), (200, b"[]"), (200, b"{"), (200, {"user_id": 1})):
        fake.replies["query_user"] = reply
        with pytest.raises(RemoteError):
            run(client(fake.port).query_user("alice"))
