"""What is carried from a ma1sd: tokens, invitations, keys, accepted terms, and its directory if that is wanted."""

from collections.abc import Iterator
from pathlib import Path

import nacl.signing
import pytest
from unpaddedbase64 import encode_base64

from importers.identity_servers import V2, bring, current_pepper, is_valid, look_up, whose
from ma1sd_database import MADE_AT, Ma1sdDatabase, write_keys
from threepid.domain.secrets.keys import load_keyring
from threepid.storage import associations
from world import World

ALICE = "@alice:hs.example"
TOKEN = "0e6bd2c4-5d0c-4a43-9a54-2d1b8c1f0a01"
URL = "https://example.org/terms"
TERMS = [{"id": "terms", "version": "1", "languages": {"en": {"name": "Terms", "url": URL}}}]
SEED, OLD_SEED, INVITE_SEED, USED_SEED = (bytes([number]) * 32 for number in range(1, 5))


def public(seed: bytes) -> bytes:
    return bytes(nacl.signing.SigningKey(seed).verify_key)


@pytest.fixture
def with_terms(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path / "data", identity__terms=TERMS) as made:
        yield made


def test_tokens_and_accepted_terms_go_on(with_terms: World, ma1sd: Ma1sdDatabase) -> None:
    ma1sd.account(ALICE, TOKEN)
    ma1sd.accept(ALICE, URL)
    ma1sd.accept(ALICE, "https://example.org/elsewhere")
    found = bring(with_terms, ma1sd)
    assert found.kinds() == {"UNKNOWN_TERMS": 1}
    assert whose(with_terms, TOKEN) == ALICE
    assert current_pepper(with_terms, TOKEN)


def test_invitations_and_keys_go_on(world: World, ma1sd: Ma1sdDatabase, tmp_path: Path) -> None:
    folder = tmp_path / "keys of ma1sd"
    write_keys(folder, "AAAA-_x1", regular={"AAAA-_x1": SEED, "AAAAold0": OLD_SEED},
               ephemeral={"e1": INVITE_SEED, "e2": USED_SEED})  # fmt: skip
    ma1sd.account(ALICE, TOKEN)
    ma1sd.invite("new@example.com", "t" * 64, public(INVITE_SEED), created_at=str(MADE_AT * 1000))
    found = bring(world, ma1sd, keys=folder)
    assert found.result.is_complete
    inserted = {name: count for name, count in found.result.inserted.items() if count}
    assert inserted == {"tokens": 1, "invitations": 1, "invitation_keys": 2, "signing_keys": 2}
    keyring = load_keyring(world.directory / "keys")
    assert (keyring.current.key_id, keyring.current.public_key) == ("ed25519:AAAA-_x1", encode_base64(public(SEED)))
    assert [key.key_id for key in keyring.keys if key.retired_at is not None] == ["ed25519:AAAAold0"]
    for seed in (INVITE_SEED, USED_SEED):
        assert is_valid(world, encode_base64(public(seed)))
    for seed, status in ((USED_SEED, 404), (INVITE_SEED, 200)):
        body = {"mxid": ALICE, "token": "t" * 64, "private_key": encode_base64(seed)}
        assert world.post(f"{V2}/sign-ed25519", body, token=TOKEN).status_code == status


def test_a_directory_is_brought_only_if_that_is_wanted(world: World, ma1sd: Ma1sdDatabase) -> None:
    own = world.identity_token(world.register())
    sid = world.validated(own, "proven@example.com")
    body = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
    assert world.post(f"{V2}/3pid/bind", body, token=own).status_code == 200
    ma1sd.hashed(ALICE, "alice@example.com")
    ma1sd.hashed(ALICE, "proven@example.com")
    pepper = current_pepper(world, own)
    assert bring(world, ma1sd).kinds() == {"DIRECTORY": 2}
    assert look_up(world, own, pepper, "alice@example.com") == {}
    found = bring(world, ma1sd, with_directory=True)
    assert found.kinds() == {"BOUND_LATER": 1}
    asked = ("alice@example.com", "proven@example.com")
    assert look_up(world, own, pepper, *asked) == {asked[0]: ALICE, asked[1]: "@alice:example.org"}
    world.run(world.database.write(lambda tx: associations.unbind(tx, "email", "alice@example.com", ALICE)))
    assert bring(world, ma1sd, with_directory=True).result.unchanged == 2
    assert look_up(world, own, pepper, "alice@example.com") == {}


def test_what_was_logged_out_here_is_not_brought_back(world: World, ma1sd: Ma1sdDatabase) -> None:
    ma1sd.account(ALICE, TOKEN)
    bring(world, ma1sd)
    assert world.post(f"{V2}/account/logout", token=TOKEN).status_code == 200
    ma1sd.account(ALICE, "another-token-of-alice", created_at=MADE_AT + 1)
    found = bring(world, ma1sd)
    assert (found.result.inserted["tokens"], found.result.unchanged) == (1, 1)
    assert whose(world, TOKEN) == "M_UNAUTHORIZED"
    assert whose(world, "another-token-of-alice") == ALICE


def test_a_mxisd_has_invitations_and_one_key(world: World, tmp_path: Path) -> None:
    old = Ma1sdDatabase(f"sqlite:{tmp_path}/mxisd.db", without=("account", "accepted", "hashes", "invite_3pid_history"))
    old.invite("new@example.com", "t" * 64)
    key = tmp_path / "signing.key"
    key.write_text(encode_base64(SEED))
    found = bring(world, old, keys=key)
    assert found.result.is_complete
    assert found.result.inserted["invitations"] == 1
    assert load_keyring(world.directory / "keys").current.public_key == encode_base64(public(SEED))
