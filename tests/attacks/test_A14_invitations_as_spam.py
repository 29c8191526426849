"""A14: an invitation carries no text, link or header of the sender's to a stranger, and there are few of them."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_homeserver import FakeHomeserver, homeserver
from threepid.clock import DAY, HOUR
from threepid.storage.engine.queries import Query
from world import BASE, Mail, World

STORE = "/_matrix/identity/v2/store-invite"
ALICE = "@alice:example.org"
APP = "https://app.example.org"
NAMES = [
    "Click http://evil.tld/x",
    "evil.tld",
    "www.evil.tld",
    "EVIL.TLD/x?y=z",
    "evil\N{IDEOGRAPHIC FULL STOP}tld",
    "evil\N{FULLWIDTH FULL STOP}tld",
    "evil\N{ONE DOT LEADER}tld",
    "evil\N{HALFWIDTH IDEOGRAPHIC FULL STOP}tld",
    "evil.\N{ZERO WIDTH SPACE}tld",
    "ev\N{SOFT HYPHEN}il.t\N{WORD JOINER}ld",
    "you@evil.tld",
    "mailto:you@evil.tld",
    "javascript:alert(1)//evil.tld",
    "//evil.tld",
    "\\\\evil.tld\\x",
    "\N{RIGHT-TO-LEFT OVERRIDE}dlt.live\N{POP DIRECTIONAL FORMATTING}",
    "<a href='https://evil.tld'>evil.tld</a>",
    "<img src=https://evil.tld/x>",
    "&lt;a href=&quot;https://evil.tld&quot;&gt;",
    "x\r\nBcc: victim@evil.tld\r\n\r\nhttps://evil.tld",
    "x\nSubject: evil.tld",
    "=?utf-8?b?aHR0cHM6Ly9ldmlsLnRsZA==?=",
    "{{ 7*7 }}{% include 'layout.html' %}",
    "[evil.tld](https://evil.tld)",
    "evil.tld" * 800,
    "Call +44 7400 123456",
    "Call (0800) 123-456-78",
    "a\N{COMBINING LONG SOLIDUS OVERLAY}" + "\N{COMBINING ACUTE ACCENT}" * 500,
]
DOTTED = re.compile(r"evil[.\u3002\uff0e\uff61\u2024\u200b\u2060\u00ad]+tld", re.IGNORECASE)
DIALLED = re.compile(r"\d(?:[ ().+-]{0,2}\d){6,}")


class Links(HTMLParser):
    """What a mail's HTML refers to, and the words in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in {"href", "src", "action", "background"}]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, identity__invite_url=APP) as made:
        yield made


def body(address: str = "guest@example.net", sender: str = ALICE, **more: Any) -> dict[str, Any]:
    return {"medium": "email", "address": address, "room_id": "!r:example.org", "sender": sender, **more}


def html_of(mail: Mail) -> Links:
    part = mail.message.get_body(("html",))
    assert part is not None
    return Links(str(part.get_content()))


def check_harmless(mail: Mail) -> None:
    html = html_of(mail)
    assert not DOTTED.search(mail.text), mail.text
    assert not DOTTED.search(html.text)
    assert not DOTTED.search(str(mail.message["Subject"]))
    assert b"evil.tld" not in mail.raw.lower()
    hosts = {
        re.sub(r"(https://[^/]+)/.*", r"\1", link) for link in [*html.found, *re.findall(r"https?://\S+", mail.text)]
    }
    assert hosts == {APP, BASE}
    assert [tag for tag in html.tags if tag in {"img", "script", "iframe", "form", "object"}] == []
    assert html.tags.count("a") == 2
    for marker in ("\u202e", "\u202c", "\u200b", "\u2066"):
        assert marker not in mail.text
        assert marker not in html.text
    assert mail.message.get_all("Bcc") is None
    assert mail.message.get_all("To") == ["guest@example.net"]
    assert [str(subject) for subject in mail.message.get_all("Subject", [])] == ["You are invited to a room on Matrix"]
    shown = " ".join(line for line in mail.text.splitlines() if "https://" not in line)
    assert not DIALLED.search(shown)


@pytest.mark.parametrize("name", NAMES)
def test_names_bring_no_link_no_header_and_no_number_into_a_mail(world: World, name: str) -> None:
    token = world.identity_token(world.register())
    answer = world.post(
        STORE,
        body(
            sender_display_name=name,
            room_name=name,
            room_alias=name,
            room_avatar_url=name,
            sender_avatar_url=name,
            room_join_rules=name,
            room_type=name,
            web_client_location="https://evil.tld",
            **{"org.matrix.web_client_location": "https://evil.tld", "subject": name, "link": "https://evil.tld"},
        ),
        token=token,
    )
    assert answer.status_code == 200, answer.text
    mail = world.mail()
    check_harmless(mail)
    words = " ".join(mail.text.split())
    found = re.search(
        r"Hello, (.*) \(@alice:example.org\) invites you to a room on Matrix. It is called: (.*?) To ", words
    )
    assert found, words
    assert 0 < len(found[1]) <= 20
    assert 0 < len(found[2]) <= 30


@pytest.mark.parametrize(
    "room_id", ["!r:evil.tld", "!evil.tld/x:evil.tld", "!r:evil.tld?x=https://evil.tld#y", "$r:evil.tld"]
)
def test_the_name_of_a_rooms_server_is_no_link_either(world: World, room_id: str) -> None:
    token = world.identity_token(world.register())
    assert world.post(STORE, body() | {"room_id": room_id}, token=token).status_code == 200
    check_harmless(world.mail())


def test_the_name_of_a_strangers_server_is_no_link_either(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__invite_url=APP, identity__v1__bind=True) as world:
        for sender in ("@a:evil.tld", "@evil.tld:evil.tld", "@a:sub.evil.tld:8448", "@a/../evil.tld:evil.tld"):
            answer = world.post("/_matrix/identity/api/v1/store-invite", body(sender=sender))
            assert answer.status_code == 200, answer.text
            check_harmless(world.mail())


def test_a_text_to_a_phone_has_none_of_it(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"], identity__invite_url=APP) as world:
        token = world.identity_token(world.register())
        for name in NAMES:
            request = body("+447400123456", sender_display_name=name, room_name=name) | {"medium": "msisdn"}
            assert world.post(STORE, request, token=token).status_code == 200
            text = world.text().text
            assert len(text) < 250
            assert not DOTTED.search(text)
            assert not DIALLED.search(text)
            assert "://" not in text
            assert "\n" not in text


def test_nobody_invites_in_the_name_of_others(world: World) -> None:
    token = world.identity_token(world.register())
    for sender in ("@bob:example.org", "@Alice:example.org", "@alice:example.org.evil.tld"):
        answer = world.post(STORE, body(sender=sender), token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_UNAUTHORIZED")
    assert world.mails() == []


# -- how many


@pytest.fixture
def limited(database_url: str, tmp_path: Path) -> Iterator[tuple[World, FakeHomeserver]]:
    limits = {
        "all": "on",
        "invites_from_sender": {"burst": 4, "per_hour": 1},
        "invites_to_address": {"burst": 2, "per_hour": 0.5},
        "invites_from_homeserver": {"burst": 6, "per_hour": 1},
    }
    with (
        homeserver() as elsewhere,
        World(
            database_url, tmp_path, limits=limits, server__trusted_proxies=["127.0.0.1"], **elsewhere.settings
        ) as made,
    ):
        yield made, elsewhere


class Spammer:
    """Invites from ever new IP addresses, over ever new accounts of one homeserver."""

    def __init__(self, world: World, elsewhere: FakeHomeserver) -> None:
        self.world = world
        self.elsewhere = elsewhere
        self.count = 0

    def token(self, localpart: str) -> str:
        answer = self.world.post("/_matrix/identity/v2/account/register", self.elsewhere.openid(localpart))
        return str(answer.json()["token"])

    def invite(self, localpart: str, token: str, address: str) -> httpx.Response:
        self.count += 1
        headers = {"X-Forwarded-For": f"198.51.100.{self.count % 250}"}
        request = body(address, sender=self.elsewhere.user_id(localpart))
        return self.world.post(STORE, request, token=token, headers=headers)


def test_one_sender_sends_few(limited: tuple[World, FakeHomeserver]) -> None:
    spammer = Spammer(*limited)
    token = spammer.token("mallory")
    answers = [spammer.invite("mallory", token, f"v{number}@example.net") for number in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 4
    assert answers[-1].json()["errcode"] == "M_LIMIT_EXCEEDED"
    assert answers[-1].json()["retry_after_ms"] == HOUR
    assert answers[-1].headers["Retry-After"] == "3600"
    assert len(spammer.world.mails()) == 4


def test_one_address_gets_few_whoever_sends_and_however_it_is_spelled(limited: tuple[World, FakeHomeserver]) -> None:
    spammer = Spammer(*limited)
    statuses = []
    for number, address in enumerate(["v@example.net", "V@example.net", "v@EXAMPLE.net", "v@example.net"]):
        name = f"m{number}"
        statuses.append(spammer.invite(name, spammer.token(name), address).status_code)
    assert statuses == [200, 200, 429, 429]
    assert len(spammer.world.mails()) == 2


def test_the_owner_still_gets_mail_of_their_own(limited: tuple[World, FakeHomeserver]) -> None:
    """An hour later at the latest; at once from where the address's account is known, as test_A13 has it."""
    spammer = Spammer(*limited)
    for number in range(4):
        name = f"m{number}"
        spammer.invite(name, spammer.token(name), "v@example.net")
    spammer.world.clock.advance(HOUR)
    owner = {"client_secret": "s", "email": "v@example.net", "send_attempt": 1}
    assert spammer.world.post("/_matrix/client/v3/register/email/requestToken", owner).status_code == 200


def test_one_homeserver_sends_few_over_all_its_users(limited: tuple[World, FakeHomeserver]) -> None:
    spammer = Spammer(*limited)
    statuses = []
    for number in range(9):
        name = f"m{number}"
        statuses.append(spammer.invite(name, spammer.token(name), f"v{number}@example.net").status_code)
    assert statuses == [200] * 6 + [429] * 3
    token = spammer.world.identity_token(spammer.world.register())
    assert spammer.world.post(STORE, body("w@example.net"), token=token).status_code == 200


def test_a_homeserver_that_asks_for_all_its_people_is_not_one_caller(database_url: str, tmp_path: Path) -> None:
    """Ten messages are a caller's, but a token names the sender, who has limits of their own."""
    with (
        homeserver() as elsewhere,
        World(database_url, tmp_path, limits__all="on", **elsewhere.settings) as world,
    ):
        spammer = Spammer(world, elsewhere)
        one, two = spammer.token("one"), spammer.token("two")

        def invite(localpart: str, token: str, number: int) -> int:
            request = body(f"v{number}@example.net", sender=elsewhere.user_id(localpart))
            return world.post(STORE, request, token=token).status_code

        assert [invite("one", one, number) for number in range(22)] == [200] * 20 + [429] * 2
        assert [invite("two", two, 100 + number) for number in range(15)] == [200] * 15
        assert len(world.mails()) == 35
        # Its people's own requests are as many as before.
        path = "/_matrix/identity/v2/validate/email/requestToken"
        asked = [
            world.post(
                path, {"client_secret": "s", "email": f"o{n}@example.net", "send_attempt": 1}, token=two
            ).status_code
            for n in range(11)
        ]
        assert asked == [200] * 10 + [429]


def test_who_invites_again_and_again_does_not_hold_up_the_homeservers_others(database_url: str, tmp_path: Path) -> None:
    with (
        homeserver() as elsewhere,
        World(database_url, tmp_path, limits__all="on", **elsewhere.settings) as world,
    ):
        spammer = Spammer(world, elsewhere)
        one, two = spammer.token("one"), spammer.token("two")
        request = body("v@example.net", sender=elsewhere.user_id("one"))
        statuses = [world.post(STORE, request, token=one).status_code for _ in range(60)]
        assert statuses[:2] == [200] * 2
        assert set(statuses[3:]) == {429}
        request = body("w@example.net", sender=elsewhere.user_id("one"))
        assert world.post(STORE, request, token=one).status_code == 429  # what was refused cost the sender
        request = body("w@example.net", sender=elsewhere.user_id("two"))
        assert world.post(STORE, request, token=two).status_code == 200


def test_asking_who_is_known_by_inviting_is_counted_too(limited: tuple[World, FakeHomeserver]) -> None:
    spammer = Spammer(*limited)
    world = spammer.world
    token = world.identity_token(world.register())
    sid = world.validated(token)
    bound = world.post(
        "/_matrix/identity/v2/3pid/bind", {"sid": sid, "client_secret": "secret", "mxid": ALICE}, token=token
    )
    assert bound.status_code == 200
    mallory = spammer.token("mallory")
    answers = [spammer.invite("mallory", mallory, "alice@example.com") for _ in range(4)]
    assert [answer.json()["errcode"] for answer in answers] == ["M_THREEPID_IN_USE"] * 2 + ["M_LIMIT_EXCEEDED"] * 2


def test_what_is_kept_of_a_wish_for_no_more_is_a_hash(world: World) -> None:
    token = world.identity_token(world.register())
    world.post(STORE, body(), token=token)
    link = next(line for line in world.mail().text.splitlines() if "/invitations/stop/" in line)
    assert world.post(link.removeprefix(BASE), b"").status_code == 200
    world.post(STORE, body("GUEST@example.net"), token=token)
    assert len(world.mails()) == 1
    statement = "SELECT address_hash FROM invite_opt_outs"
    query = Query("test", statement, statement)
    kept = world.run(world.server.context.database.read(lambda tx: tx.value(query)))
    assert re.fullmatch(r"[0-9a-f]{32}", kept)
    world.clock.advance(400 * DAY)
    world.post(STORE, body(), token=token)
    assert len(world.mails()) == 1


# -- who invites


def invisible(text: str) -> str:
    """What people see of a text."""
    return text.replace("\N{ZERO WIDTH NON-JOINER}", "")


def test_the_user_id_of_who_invites_is_whole_and_no_link(database_url: str, tmp_path: Path) -> None:
    with (
        homeserver() as elsewhere,
        World(database_url, tmp_path, sms__countries=["GB"], **elsewhere.settings) as world,
    ):
        openid = elsewhere.openid("ann.b")
        token = world.post("/_matrix/identity/v2/account/register", openid).json()["token"]
        sender = elsewhere.user_id("ann.b")
        assert world.post(STORE, body(sender=sender), token=token).status_code == 200
        mail = world.mail()
        html = html_of(mail)
        assert f"\n{sender} invites you" in mail.text.replace("\r\n", "\n")
        assert invisible(html.text).count(sender) == 1
        assert "ann.b" not in html.text
        assert not any(sender in link for link in html.found)
        phone = body("+447400123456", sender=sender) | {"medium": "msisdn"}
        assert world.post(STORE, phone, token=token).status_code == 200
        text = world.text().text
        assert sender in invisible(text)
        assert "ann.b" not in text


def test_a_text_says_where_to_bind_the_number(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"], identity__name="id.example.org") as world:
        token = world.identity_token(world.register())
        world.post(STORE, body("+447400123456") | {"medium": "msisdn"}, token=token)
        assert "publish this number at id.example.org." in world.text().text


def test_an_identity_server_alone_goes_by_its_own_name(database_url: str, tmp_path: Path) -> None:
    with (
        homeserver() as elsewhere,
        World(
            database_url,
            tmp_path,
            accounts=None,
            server__name=None,
            identity__name="id.example.net",
            sms__countries=["GB"],
            **elsewhere.settings,
        ) as world,
    ):
        token = world.post("/_matrix/identity/v2/account/register", elsewhere.openid("ann")).json()["token"]
        sender = elsewhere.user_id("ann")
        world.post(STORE, body(sender=sender), token=token)
        world.clock.advance(1)
        world.post(STORE, body("+447400123456", sender=sender) | {"medium": "msisdn"}, token=token)
        world.request_token(token)
        number = {"client_secret": "s", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}
        world.post("/_matrix/identity/v2/validate/msisdn/requestToken", number, token=token)
        invitation, proof = world.mails()
        assert proof.recipient == "alice@example.com"
        pages = [world.get(proof.link).text, world.get("/nothing/here").text]
        stop = next(line.strip() for line in invitation.text.splitlines() if "/invitations/stop/" in line)
        pages.append(world.get(stop.removeprefix(BASE)).text)
        for shown in (invitation.text, html_of(invitation).text, proof.text, html_of(proof).text, *pages):
            assert "id.example.net" in shown
            assert "at localhost" not in shown
            # The homeserver that the user is of is called so in this test, and a proof says who asked for it.
            assert not re.search(r"(?<!the homeserver )\blocalhost\b(?!:\d)", invisible(shown))
        assert "to a Matrix account. Please confirm" in " ".join(proof.text.split())
        for text in world.texts():
            assert text.text.startswith("id.example.net: ")


def test_a_name_that_was_given_is_kept(database_url: str, tmp_path: Path) -> None:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"server__name": "chat.example"}, "chat.example"),
        ({"web__brand_name": "Ours"}, "Ours"),
    )
    for given, brand in cases:
        with World(database_url, tmp_path, accounts=None, **given) as world:
            assert world.server.context.brand == brand
