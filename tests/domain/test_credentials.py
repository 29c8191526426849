"""Passwords and tokens are kept so that reading them back is no use."""

import asyncio
import json

import nacl.exceptions
import pytest

from threepid.clock import Clock
from threepid.domain.credentials import Passwords, Vault, same
from threepid.spec.errors import InvalidParam, LimitExceeded, WeakPassword
from world import SeededEntropy


@pytest.fixture
def vault() -> Vault:
    return Vault(b"v" * 32, SeededEntropy())


def test_a_sealed_request_opens_with_its_token_only(vault: Vault) -> None:
    sealed = vault.seal("token", {"password": "canary"})
    assert b"canary" not in sealed
    assert json.loads(vault.unseal("token", sealed)) == {"password": "canary"}
    with pytest.raises(nacl.exceptions.CryptoError):
        vault.unseal("another", sealed)


def test_hashes_differ_by_key_by_session_and_by_what_they_are_of(vault: Vault) -> None:
    other = Vault(b"w" * 32, SeededEntropy())
    assert vault.hash_code("sid", "123456") != other.hash_code("sid", "123456")
    assert vault.hash_code("sid", "123456") != vault.hash_code("other", "123456")
    assert vault.hash_client_secret("x") != other.hash_client_secret("x")
    assert vault.hash_client_secret("x") != vault.hash_token("x")
    assert vault.mac_request({"a": 1, "b": 2}) == vault.mac_request({"b": 2, "a": 1})
    assert vault.mac_request({"a": 1}) != vault.mac_request({"a": True})
    assert same(b"a", b"a")
    assert not same(b"a", b"b")


def run(work: "object") -> "object":
    return asyncio.run(work)  # type: ignore[arg-type]


def test_a_password_is_verified_in_its_normal_form_and_every_character_counts() -> None:
    async def work() -> None:
        passwords = Passwords(Clock(), 8)
        composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
        hashed = await passwords.hash(composed)
        assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await passwords.verify(decomposed, hashed)
        long = "x" * 72 + "y"
        hashed = await passwords.hash(long)
        assert await passwords.verify(long, hashed)
        assert not await passwords.verify("x" * 72 + "z", hashed)
        assert not await passwords.verify("x" * 72, hashed)
        assert not await passwords.verify("anything", None)
        assert not await passwords.verify("anything", "no hash at all")
        assert not await passwords.verify("x" * 600, hashed)
        passwords.close()

    run(work())


@pytest.mark.parametrize(
    ("password", "error"), [("seven77", WeakPassword), ("x" * 513, InvalidParam), ("", WeakPassword)]
)
def test_new_passwords_have_bounds(password: str, error: type[Exception]) -> None:
    async def work() -> None:
        passwords = Passwords(Clock(), 8)
        with pytest.raises(error):
            await passwords.hash(password)
        assert await passwords.hash("eight888")
        assert await passwords.hash("\U0001f600" * 512)
        passwords.close()

    run(work())


def test_a_flood_is_turned_away_and_a_caller_who_leaves_frees_no_place() -> None:
    async def work() -> None:
        passwords = Passwords(Clock(), 8)
        passwords._seconds_each = 1.0
        room = 2 * passwords._width + 1
        tasks = [asyncio.create_task(passwords.verify("x", None)) for _ in range(room)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        with pytest.raises(LimitExceeded) as caught:
            await passwords.verify("x", None)
        assert caught.value.headers() == {"Retry-After": "2"}
        await asyncio.gather(*tasks, return_exceptions=True)
        while passwords._waiting:
            await asyncio.sleep(0.01)
        assert await passwords.verify("x", None) is False
        passwords.close()

    run(work())
