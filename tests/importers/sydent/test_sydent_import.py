"""What a Sydent's clients and homeservers could do before the import, they can do after it."""

from collections.abc import Iterator
from pathlib import Path

import nacl.signing
import pytest
from unpaddedbase64 import encode_base64

from importers.identity_servers import V2, bring, current_pepper, is_valid, look_up, whose
from sydent_database import BOUND_AT, CENTURY, PEPPER, SydentDatabase
from threepid.domain.secrets.keys import load_keyring
from threepid.storage import associations, peppers
from world import World

ALICE, BOB = "@alice:hs.example", "@bob:hs.example"
TOKEN = "a" * 64
TERMS = [
    {"id": "terms", "version": "2", "languages": {"en": {"name": "Terms", "url": "https://example.org/terms-2"}}},
    {"id": "privacy", "version": "1", "languages": {"en": {"name": "Privacy", "url": "https://example.org/privacy"}}},
]


@pytest.fixture
def sydent(tmp_path: Path) -> SydentDatabase:
    made = SydentDatabase(tmp_path / "sydent.db")
    made.account(ALICE, TOKEN)
    made.bind(ALICE, "alice@example.com")
    made.bind(BOB, "447700900123", "msisdn")
    return made


def test_lookups_with_the_old_pepper_and_the_tokens_go_on(world: World, sydent: SydentDatabase) -> None:
    before = world.run(world.database.read(peppers.current))
    found = bring(world, sydent)
    assert found.result.is_complete
    assert (found.result.inserted["associations"], found.result.inserted["tokens"]) == (2, 1)
    assert whose(world, TOKEN) == ALICE
    assert current_pepper(world, TOKEN) == PEPPER
    assert look_up(world, TOKEN, PEPPER, "alice@example.com", "bob@example.com") == {"alice@example.com": ALICE}
    assert look_up(world, TOKEN, PEPPER, "447700900123", medium="msisdn") == {"447700900123": BOB}
    assert before
    assert look_up(world, TOKEN, before, "alice@example.com") == {"alice@example.com": ALICE}


def test_times_of_associations_are_kept(world: World, sydent: SydentDatabase) -> None:
    bring(world, sydent)
    (stored,) = world.run(world.database.read(lambda tx: associations.of_user(tx, ALICE)))
    assert (stored.bound_at, stored.not_before, stored.not_after) == (BOUND_AT, BOUND_AT, BOUND_AT + CENTURY)


def test_a_token_lives_as_long_as_a_new_one(world: World, sydent: SydentDatabase) -> None:
    bring(world, sydent)
    world.clock.advance(364 * 24 * 3600 * 1000)
    assert whose(world, TOKEN) == ALICE
    world.clock.advance(2 * 24 * 3600 * 1000)
    assert whose(world, TOKEN) == "M_UNAUTHORIZED"


def test_another_spelling_is_found_until_it_is_unbound(world: World, sydent: SydentDatabase) -> None:
    """Early versions kept addresses as they were typed, and clients hashed them so. Rotations keep them, too."""
    old = "Carol@Bücher.example"
    canonical = "carol@xn--bcher-kva.example"
    carol = "@carol:hs.example"
    sydent.bind(carol, old)
    assert bring(world, sydent).result.is_complete
    assert look_up(world, TOKEN, PEPPER, old, canonical) == {old: carol, canonical: carol}
    world.run(world.identity.lookup.peppers.begin(lambda _: None))
    while world.run(world.identity.lookup.peppers.work()).name == "SOME":
        pass
    new = current_pepper(world, TOKEN)
    assert new != PEPPER
    for pepper in (PEPPER, new):
        assert look_up(world, TOKEN, pepper, old, canonical) == {old: carol, canonical: carol}
    world.run(world.database.write(lambda tx: associations.unbind(tx, "email", canonical, carol)))
    for pepper in (PEPPER, new):
        assert look_up(world, TOKEN, pepper, old, canonical) == {}


def test_another_spelling_follows_the_address_to_its_next_owner(world: World, sydent: SydentDatabase) -> None:
    sydent.bind("@carol:hs.example", "Carol@example.com")
    bring(world, sydent)
    token = world.identity_token(world.register())
    sid = world.validated(token, "carol@example.com")
    body = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
    assert world.post(f"{V2}/3pid/bind", body, token=token).status_code == 200
    found = look_up(world, TOKEN, PEPPER, "Carol@example.com", "carol@example.com")
    assert found == dict.fromkeys(("Carol@example.com", "carol@example.com"), "@alice:example.org")


def test_of_two_spellings_the_later_proof_wins(world: World, sydent: SydentDatabase) -> None:
    sydent.bind("@early:hs.example", "Two@example.com", ts=BOUND_AT)
    sydent.bind("@late:hs.example", "two@example.com", ts=BOUND_AT + 1)
    sydent.bind("@late:hs.example", "TWO@example.com", ts=BOUND_AT - 1)
    dry = bring(world, sydent, dry_run=True)
    found = bring(world, sydent)
    assert dry.details("BOUND_LATER") == found.details("BOUND_LATER") == ["@early:hs.example email two@example.com"]
    assert not found.result.is_complete
    spellings = ("Two@example.com", "two@example.com", "TWO@example.com")
    assert look_up(world, TOKEN, PEPPER, *spellings) == dict.fromkeys(spellings, "@late:hs.example")


def test_a_later_proof_that_was_given_here_wins(world: World, sydent: SydentDatabase) -> None:
    token = world.identity_token(world.register())
    sid = world.validated(token, "alice@example.com")
    body = {"sid": sid, "client_secret": "secret", "mxid": "@alice:example.org"}
    assert world.post(f"{V2}/3pid/bind", body, token=token).status_code == 200
    assert bring(world, sydent).kinds()["BOUND_LATER"] == 1
    assert look_up(world, token, PEPPER, "alice@example.com") == {"alice@example.com": "@alice:example.org"}


def test_what_was_unbound_there_is_not_bound_here(world: World, sydent: SydentDatabase) -> None:
    sydent.unbind("alice@example.com")
    assert bring(world, sydent).result.is_complete
    assert look_up(world, TOKEN, PEPPER, "alice@example.com") == {}


def test_expired_and_foreign_associations_stay_behind(world: World, sydent: SydentDatabase) -> None:
    sydent.bind(BOB, "old@example.com", notAfter=world.clock.now())
    sydent.of_server(BOB, "peer@example.com", server="peer.example")
    found = bring(world, sydent)
    assert found.kinds() == {"EXPIRED_ASSOCIATION": 1, "OTHER_SERVER_BOUND": 1}
    assert found.details("OTHER_SERVER_BOUND") == ["email peer@example.com of peer.example"]
    assert look_up(world, TOKEN, PEPPER, "old@example.com", "peer@example.com") == {}


def test_a_waiting_invitation_is_signed_with_its_own_key(world: World, sydent: SydentDatabase) -> None:
    """Sydent does not know which key belongs to which invitation: any key of an invitation signs, and the first one stays."""
    keys = [nacl.signing.SigningKey(bytes([number]) * 32) for number in range(3)]
    for number in (0, 1):
        sydent.key(bytes(keys[number].verify_key))
    sydent.invite("new@example.com", "t" * 128)
    sydent.invite("told@example.com", "u" * 128, sent_ts=1)
    found = bring(world, sydent)
    assert found.kinds() == {"DELIVERED_INVITE": 1}
    public = [encode_base64(bytes(key.verify_key), urlsafe=True) for key in keys]
    assert [is_valid(world, key) for key in public] == [True, True, False]

    def sign(number: int) -> int:
        body = {"mxid": ALICE, "token": "t" * 128, "private_key": encode_base64(bytes(keys[number]))}
        return world.post(f"{V2}/sign-ed25519", body, token=TOKEN).status_code

    assert [sign(number) for number in (2, 1, 0, 1)] == [404, 200, 404, 200]


def test_the_signing_key_keeps_its_id_and_replaces_the_unused_one(world: World, sydent: SydentDatabase) -> None:
    seed = encode_base64(bytes(range(32)))
    bring(world, sydent, key=f"ed25519.signingkey = ed25519 0 {seed}")
    keyring = load_keyring(world.directory / "keys")
    assert [key.key_id for key in keyring.keys] == ["ed25519:0"]
    with world.again() as restarted:
        served = restarted.get(f"{V2}/pubkey/ed25519:0").json()["public_key"]
        assert served == encode_base64(bytes(nacl.signing.SigningKey(bytes(range(32))).verify_key))
        assert is_valid(restarted, served, "")


def test_accepted_terms_of_the_current_version_are_kept(with_terms: World, sydent: SydentDatabase) -> None:
    world = with_terms
    sydent.account(BOB, "b" * 64, consent="v2")
    sydent.account(ALICE, consent="v1")
    for user_id in (ALICE, BOB):
        sydent.accept(user_id, "https://example.org/terms-2")
        sydent.accept(user_id, "https://example.org/privacy")
    sydent.accept(BOB, "https://example.org/elsewhere")
    found = bring(world, sydent, terms_version="v2")
    assert found.kinds() == {"EARLIER_TERMS": 2, "UNKNOWN_TERMS": 1}
    assert look_up(world, "b" * 64, PEPPER, "alice@example.com") == {"alice@example.com": ALICE}
    answer = world.get(f"{V2}/hash_details", token=TOKEN)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_TERMS_NOT_SIGNED")


@pytest.fixture
def with_terms(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path / "data", identity__terms=TERMS) as made:
        yield made


def test_a_dry_run_changes_nothing(world: World, sydent: SydentDatabase) -> None:
    before = world.run(world.database.read(peppers.all_of))
    dry = bring(world, sydent, dry_run=True, key="ed25519.signingkey = ed25519 x_1 " + "A" * 43)
    assert (dry.result.carried["associations"], dry.result.carried["signing_keys"]) == (2, 1)
    assert whose(world, TOKEN) == "M_UNAUTHORIZED"
    assert world.run(world.database.read(peppers.all_of)) == before
    assert world.run(world.database.read(associations.count)) == 0
    assert [key.key_id for key in load_keyring(world.directory / "keys").keys] == ["ed25519:0"]
    assert bring(world, sydent).result.carried == {**dry.result.carried, "signing_keys": 0}


def test_an_old_sydent_has_neither_tokens_nor_a_pepper(world: World, tmp_path: Path) -> None:
    gone = ("hashing_metadata", "accounts", "tokens", "accepted_terms_urls", "local_threepid_associations.lookup_hash",
            "global_threepid_associations.lookup_hash", "invite_tokens.received_ts")  # fmt: skip
    sydent = SydentDatabase(tmp_path / "old.db", without=gone)
    sydent.insert("local_threepid_associations", medium="email", address="a@example.com", mxid=ALICE, ts=1, notBefore=1,
                  notAfter=CENTURY)  # fmt: skip
    sydent.insert(
        "invite_tokens", medium="email", address="b@example.com", room_id="!r:x", sender=ALICE, token="t" * 64
    )
    found = bring(world, sydent)
    assert found.result.is_complete
    assert (found.result.inserted["associations"], found.result.inserted["invitations"]) == (1, 1)
