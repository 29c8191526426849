"""Passwords and tokens are kept so that reading them back is no use."""

import asyncio
import json
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import argon2
import bcrypt
import nacl.exceptions
import pytest
from unpaddedbase64 import encode_base64

from threepid.clock import Clock
from threepid.config import ConfigError, Policy
from threepid.domain.secrets.passwords import Hasher, Passwords
from threepid.domain.secrets.vault import Vault, same
from threepid.spec.errors import InvalidParam, WeakPassword
from world import SeededEntropy

T = TypeVar("T")


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


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(Clock(), Policy())
    yield made
    made.close()


def test_a_password_is_verified_in_its_normal_form_and_every_character_counts(passwords: Passwords) -> None:
    async def work() -> None:
        composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
        hashed = await passwords.hash(composed)
        assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert await passwords.verify(decomposed, hashed)
        assert not passwords.needs_rehash(hashed)
        long = "x" * 72 + "y"
        hashed = await passwords.hash(long)
        assert await passwords.verify(long, hashed)
        assert not await passwords.verify("x" * 72 + "z", hashed)
        assert not await passwords.verify("x" * 72, hashed)
        assert not await passwords.verify("x" * 600, hashed)

    run(work())


@pytest.mark.parametrize(
    "damaged",
    [
        "no hash at all",
        "",
        "$argon2id$garbage",
        "$argon2id$v=19$m=8,t=1,p=1$YWJj$YWJj",
        "$2b$12$short",
        "$2b$99$" + "x" * 53,
        "\u00e9\ud800",
        None,
    ],
)
def test_nothing_is_right_where_there_is_no_usable_hash(passwords: Passwords, damaged: str | None) -> None:
    assert run(passwords.verify("anything", damaged)) is False
    assert run(passwords.verify("nobody has this password", damaged)) is False


def test_the_hash_of_nobody_costs_what_a_hash_costs() -> None:
    """One that cannot be read would be refused at once, and tell that there is no such account."""
    hasher = Hasher()
    assert hasher.is_current(hasher.nobody)
    parameters = argon2.extract_parameters(hasher.nobody)
    assert parameters == argon2.extract_parameters(hasher.hash("anything"))
    digest = argon2.low_level.hash_secret_raw(
        b"a password",
        bytes(parameters.salt_len),
        parameters.time_cost,
        parameters.memory_cost,
        parameters.parallelism,
        parameters.hash_len,
        parameters.type,
    )
    before, _, _ = hasher.nobody.rpartition("$")
    assert hasher.matches("a password", f"{before}${encode_base64(digest)}")  # libsodium reads all but the digest
    assert not hasher.matches("a password", hasher.nobody)


@pytest.mark.parametrize(
    ("password", "error"),
    [
        ("seven77", WeakPassword),
        ("", WeakPassword),
        ("cafe\u0301 7", WeakPassword),
        ("x" * 513, InvalidParam),
        ("x" * 1_000_000, InvalidParam),
        ("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 100, InvalidParam),
        ("\N{GRINNING FACE}" * 1025, InvalidParam),
        ("eight\0888", InvalidParam),
        ("eight\ud800888", InvalidParam),
    ],
)
def test_new_passwords_have_bounds(passwords: Passwords, password: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(passwords.hash(password))
    assert run(passwords.verify(password, None)) is False


@pytest.mark.parametrize("password", ["eight888", "\N{GRINNING FACE}" * 512, "e\u0301" * 512, "\t pass word \n"])
def test_a_new_password_within_the_bounds_is_taken(passwords: Passwords, password: str) -> None:
    async def work() -> bool:
        return await passwords.verify(password, await passwords.hash(password))

    assert run(work())


@pytest.mark.parametrize("variant", [b"2a", b"2b", b"2y"])
def test_hashes_of_other_servers_are_verified_and_are_to_be_replaced(passwords: Passwords, variant: bytes) -> None:
    def made(password: bytes) -> str:
        return (b"$" + variant + bcrypt.hashpw(password, bcrypt.gensalt(4))[3:]).decode()

    async def work() -> None:
        hashed = made("caf\u00e9 au lait".encode())
        assert await passwords.verify("cafe\u0301 au lait", hashed)
        assert not await passwords.verify("cafe au lait", hashed)
        assert passwords.needs_rehash(hashed)
        # Those servers cut a longer password off in silence, in the middle of a character too.
        long = "x" * 71 + "\u00e9 and more"
        hashed = made(long.encode()[:72])
        assert await passwords.verify(long, hashed)
        assert not await passwords.verify("x" * 70 + "\u00e9 and more", hashed)

    run(work())


def test_a_hash_with_other_parameters_is_verified_and_is_to_be_replaced(passwords: Passwords) -> None:
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("long enough")
    assert run(passwords.verify("long enough", hashed))
    assert passwords.needs_rehash(hashed)
    assert passwords.needs_rehash("no hash at all")


def test_a_password_has_as_many_kinds_of_characters_as_the_policy_says() -> None:
    passwords = Passwords(Clock(), Policy(password_min_classes=3))
    for weak in ("only small letters".replace(" ", ""), "small letters and spaces", "12345678", "ONLYCAPITALS99"):
        with pytest.raises(WeakPassword, match="at least 3 of these"):
            passwords.check(weak)
    for strong in ("Capital letters", "digits 99 and spaces", "Digits99", "\u00c4\u00e4\u6f22\u5b57" * 2):
        assert passwords.check(strong) == strong
    passwords.close()


def test_the_minimum_length_is_the_policys() -> None:
    passwords = Passwords(Clock(), Policy(password_min_length=12))
    with pytest.raises(WeakPassword, match="at least 12 characters"):
        passwords.check("x" * 11)
    assert passwords.check("x" * 12)
    passwords.close()


def test_passwords_of_the_denied_file_are_refused_however_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "denied.txt"
    file.write_bytes(
        "correct horse\r\nStra\u00dfe nach Rom\n\n# not a comment\n".encode() + b"\xff\xfe no text\nlast one"
    )
    passwords = Passwords(Clock(), Policy(passwords_denied_file=str(file)))
    for denied in ("correct horse", "CORRECT Horse", "strasse nach rom", "# not a comment", "last one"):
        with pytest.raises(WeakPassword, match="easy to guess"):
            passwords.check(denied)
    for allowed in ("correct horse ", "correct hors", "not a comment"):
        assert passwords.check(allowed) == allowed
    passwords.close()


def test_a_denied_file_of_a_million_lines_takes_little_memory_and_time(tmp_path: Path) -> None:
    file = tmp_path / "denied.txt"
    file.write_text("".join(f"password {number}\n" for number in range(1_000_000)))
    start = time.thread_time()  # of the processor: a busy machine takes longer by the clock
    passwords = Passwords(Clock(), Policy(passwords_denied_file=str(file)))
    assert time.thread_time() - start < 10
    hashes = passwords._denied._hashes
    assert hashes.itemsize * len(hashes) < 9_000_000
    with pytest.raises(WeakPassword):
        passwords.check("Password 999999")
    assert passwords.check("password 1000000")
    passwords.close()


def test_a_denied_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"passwords_denied_file: .*denied\.txt: No such file"):
        Passwords(Clock(), Policy(passwords_denied_file=str(tmp_path / "denied.txt")))


@pytest.mark.parametrize("username", ["alicelonger", "@alicelonger:example.org"])
def test_a_password_is_not_the_username(passwords: Passwords, username: str) -> None:
    for same_again in ("alicelonger", "AliceLonger", "@alicelonger", "\uff21licelonger"):
        with pytest.raises(WeakPassword, match="username"):
            passwords.check(same_again, username=username)
        assert passwords.check(same_again)
    assert passwords.check("alicelonger and more", username=username)
    with pytest.raises(WeakPassword):
        passwords.check("@ALICELONGER:example.org", username="@alicelonger:example.org")
    with pytest.raises(WeakPassword):
        run(passwords.hash("alicelonger", username=username))
