"""Invitations: what is made of names, what is shown of addresses, and what has become of each."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threepid.clock import DAY
from threepid.domain.identity.invites import InviteRequest, Invites, StoredInvite
from threepid.domain.names import (
    ITS_HOMESERVERS_WORD,
    NOBODYS_WORD,
    OURS,
    ROOM_LENGTH,
    SENDER_LENGTH,
    harmless,
    harmless_user_id,
    redact,
    shown_user_id,
    unlinked,
)
from threepid.spec.errors import InvalidParam, NotFound, Unrecognized
from threepid.storage import associations
from threepid.storage import invites as stored_invites
from threepid.storage.engine.database import Tx
from threepid.storage.invites import Invite
from world import World

ALICE = "@alice:example.org"
GUEST = "guest@example.net"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Alice", "Alice"),
        ("  Alice\t of \n Oz  ", "Alice of Oz"),
        ("Dr. Strange", "Dr. Strange"),
        ("Wait...", "Wait..."),
        ("Wait...what", "Wait... what"),
        ("evil.tld", "evil. tld"),
        ("http://evil.tld/x", "http evil. tld x"),
        ("a@b.example", "a b. example"),
        ("Room 12345", "Room 12345"),
        ("0800 1234567", "#"),
        ("Tel:+44 (7400) 123-456!", "Tel +#!"),
        ("\N{ARABIC-INDIC DIGIT ONE}" * 9, "#"),
        ("ﬁre", "fire"),
        ("", ""),
        ("\N{ZERO WIDTH SPACE}\N{RIGHT-TO-LEFT OVERRIDE}", ""),
        ("안녕하세요", "안녕하세요"),
        ("مرحبا", "مرحبا"),
        ("ผู้ใช้", "ผู้ใช้"),
        ("Ünïcödé", "Ünïcödé"),
        ("🦊 fox", "🦊 fox"),
        ("A very long name indeed, it is", "A very long name in…"),
    ],
)
def test_a_name_stays_what_it_is_without_what_could_be_a_link(name: str, shown: str) -> None:
    assert harmless(name, SENDER_LENGTH) == shown


@settings(max_examples=2_000, deadline=None)
@given(st.text(alphabet=st.characters() | st.sampled_from("./:@\\。．｡․ \u200b\u202e0123456789ab"), max_size=200))
def test_whatever_the_name_it_is_short_one_line_and_no_link(name: str) -> None:
    shown = harmless(name, ROOM_LENGTH)
    assert len(shown) <= ROOM_LENGTH
    assert shown == " ".join(shown.split())
    assert not {*shown} & set("@/\\:<>&#?%|") - {"#"}
    assert all(unicodedata.category(character)[0] != "C" for character in shown)
    for place, character in enumerate(shown[:-1]):
        if character in ".。":
            assert shown[place + 1] in ".。 …"


@given(st.text(max_size=300))
def test_making_a_name_harmless_twice_changes_little(name: str) -> None:
    once = harmless(name, ROOM_LENGTH)
    assert len(harmless(once, ROOM_LENGTH)) <= ROOM_LENGTH


def test_a_user_id_of_our_own_is_shown_as_it_is_and_a_strangers_is_no_link() -> None:
    assert harmless_user_id("@bob:example.org", "example.org") == "@bob:example.org"
    assert harmless_user_id("@bob:evil.tld", "example.org") == "@bob:evil. tld"
    assert harmless_user_id("@evil.tld:example.org", "example.org") == "@evil. tld:example.org"
    assert harmless_user_id("@bob:example.org.evil.tld:8448", "example.org") == "@bob:example. org. evil. tld 8448"
    assert len(harmless_user_id("@" + "x" * 120 + ":" + "y" * 130, "example.org")) <= 122


@pytest.mark.parametrize(
    "user_id",
    [
        "@ann:wk.test", "@a.b_c=d/e+f-g:sub.example.com:8448", "@Ann:example.org", "@491701234567:example.org",
        "@ann:192.0.2.1", "@ann:[2001:db8::1]:8448", "@ann:localhost",
    ],
)  # fmt: skip
def test_a_user_id_is_shown_whole_and_no_program_makes_a_link_of_it(user_id: str) -> None:
    assert shown_user_id(user_id, "ours.example") == user_id
    assert unlinked(user_id, ITS_HOMESERVERS_WORD, plain=True) == user_id
    for shown in (unlinked(user_id), unlinked(user_id, ITS_HOMESERVERS_WORD), unlinked(user_id, plain=True)):
        assert shown.replace("\u200c", "") == user_id
        assert not re.search(r"[a-z0-9]\.[a-z0-9]", shown, re.IGNORECASE)
        assert not re.search(r"\d{4}\d{3}", shown)


def test_the_name_of_our_own_server_needs_no_joints() -> None:
    assert unlinked("@ann:example.org", OURS) == "@ann:example.org"
    assert unlinked("@evil.tld:example.org", OURS) == "@evil\u200c.tld:example.org"


@pytest.mark.parametrize("user_id", ["@ann:www.evil.tld", "@www.evil.tld:x", "@x/www.evil.tld:x", "@a:ftp.evil.tld"])
def test_plain_text_programs_find_no_www_in_a_user_id(user_id: str) -> None:
    shown = unlinked(user_id, ITS_HOMESERVERS_WORD, plain=True)
    assert "www." not in shown
    assert "ftp." not in shown
    assert shown.replace("\u200c", "") == user_id
    assert unlinked(user_id, NOBODYS_WORD, plain=True) == shown


@pytest.mark.parametrize(
    "user_id",
    ["@http//evil.tld?x:evil.tld", "@<b>:evil.tld", "@\u202eann:evil.tld", "@" + "x" * 61 + ":evil.tld",
     "@ann:" + "x" * 61 + ".tld", "@:evil.tld", "@ann:evil.tld/path", "@ann:exa mple.org", "ann:evil.tld"],
)  # fmt: skip
def test_what_is_not_of_todays_grammar_is_made_harmless(user_id: str) -> None:
    shown = shown_user_id(user_id, "ours.example")
    assert shown == harmless_user_id(user_id, "ours.example")
    assert "evil.tld" not in shown
    assert len(shown) <= 122


@pytest.mark.parametrize(
    ("medium", "canonical", "shown"),
    [
        ("email", "foo@bar.com", "f...@b..."),
        ("email", "a@b.example", "a...@b..."),
        ("email", "a.very.long.one@a.very.long.domain.example", "a...@a..."),
        ("msisdn", "447400123456", "+44..."),
        ("msisdn", "12025550123", "+12..."),
    ],
)
def test_an_address_is_shown_so_that_it_cannot_be_read_back(medium: str, canonical: str, shown: str) -> None:
    assert redact(medium, canonical) == shown


@pytest.fixture
def invites(world: World) -> Invites:
    assert world.identity.invites is not None
    return world.identity.invites


def store(world: World, invites: Invites, address: str = GUEST) -> StoredInvite:
    request = InviteRequest(medium="email", address=address, room_id="!r:example.org", sender=ALICE)
    return world.run(invites.store(request, caller=ALICE, client="192.0.2.1"))


def publish(world: World, mxid: str, address: str = GUEST) -> None:
    ours = world.identity.associations
    assert ours is not None

    def step(tx: Tx) -> None:
        ours.bind_address(tx, "email", address, mxid)

    world.run(world.server.context.database.write(step))


def all_of(world: World, invites: Invites) -> list[Invite]:
    return world.run(invites.list_after(None, 100))


def test_the_state_says_what_has_become_of_it(world: World, invites: Invites) -> None:
    store(world, invites)
    (waiting,) = all_of(world, invites)
    assert invites.state(waiting) == "waiting"
    publish(world, "@guest:elsewhere.example")
    (ordered,) = all_of(world, invites)
    assert (invites.state(ordered), ordered.bound_to) == ("not handed over yet", "@guest:elsewhere.example")
    publish(world, "@bob:example.org")
    (settled,) = all_of(world, invites)
    assert (invites.state(settled), settled.bound_to) == ("handed over", "@bob:example.org")
    world.clock.advance(1)
    store(world, invites, "other@example.net")
    world.clock.advance(90 * DAY)
    assert invites.state(all_of(world, invites)[1]) == "expired"


def test_what_was_settled_cannot_be_cancelled(world: World, invites: Invites) -> None:
    store(world, invites)
    publish(world, "@bob:example.org")
    (settled,) = all_of(world, invites)
    with pytest.raises(InvalidParam, match="knows this invitation already"):
        world.run(invites.cancel(settled.id))
    with pytest.raises(NotFound):
        world.run(invites.cancel("nosuch"))


def test_the_list_comes_in_pages(world: World, invites: Invites) -> None:
    stored = [store(world, invites, f"g{number}@example.net").token for number in range(7)]
    found: list[str] = []
    last = None
    while page := world.run(invites.list_after(last, 3)):
        assert len(page) <= 3
        found += [invite.token for invite in page]
        last = page[-1]
    assert sorted(found) == sorted(stored)


def test_an_invitation_that_was_handed_over_is_signed_for_its_owner_only(world: World, invites: Invites) -> None:
    import nacl.signing
    from unpaddedbase64 import encode_base64

    seed = b"\x07" * 32
    public_key = encode_base64(bytes(nacl.signing.SigningKey(seed).verify_key))
    now = world.clock.now()
    invite = Invite("i", "t", "email", GUEST, "!r:example.org", ALICE, public_key, now, now + DAY)
    world.run(world.server.context.database.write(lambda tx: stored_invites.insert(tx, invite)))
    publish(world, "@bob:example.org")
    key = encode_base64(seed)
    with pytest.raises(Unrecognized):
        world.run(invites.sign(ALICE, "t", key, caller=ALICE, client=""))
    signed = world.run(invites.sign("@bob:example.org", "t", key, caller=None, client=""))
    assert signed["mxid"] == "@bob:example.org"


def test_an_association_that_ran_out_stands_in_no_invitations_way(world: World, invites: Invites) -> None:
    publish(world, "@bob:example.org")
    world.clock.advance(366 * DAY)
    now = world.clock.now()
    assert world.run(world.server.context.database.read(lambda tx: associations.get(tx, "email", GUEST, now))) is None
    store(world, invites)
    assert len(all_of(world, invites)) == 1
