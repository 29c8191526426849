"""Registration as operators configure it: tokens, terms, captchas, addresses, and combinations of them."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from captcha_provider import RIGHT, SITE_KEY, CaptchaProvider
from world import BASE, World, unnoted

PATH = "/_matrix/client/v3/register"
TERMS = {
    "id": "privacy",
    "version": "1.2",
    "languages": {
        "en": {"name": "Privacy", "url": "https://example.org/en/privacy"},
        "de": {"name": "Datenschutz", "url": "https://example.org/de/privacy"},
    },
}
BODY = {"username": "alice", "password": "long enough"}
SMS = {"countries": ["GB", "DE"]}


def flows(world: World) -> list[list[str]]:
    return [flow["stages"] for flow in world.post(PATH, {}).json()["flows"]]


OFFERED: list[tuple[dict[str, Any], list[list[str]]]] = [
    ({}, [["m.login.dummy"], ["m.login.email.identity"]]),
    ({"email": None}, [["m.login.dummy"]]),
    ({"sms": SMS}, [["m.login.dummy"], ["m.login.email.identity"], ["m.login.msisdn"]]),
    # Phones are configured, but no country may be texted.
    ({"sms": {"countries": []}}, [["m.login.dummy"], ["m.login.email.identity"]]),
    ({"accounts__required_contacts": ["email"]}, [["m.login.email.identity"]]),
    ({"accounts__required_contacts": ["msisdn"], "sms": SMS}, [["m.login.msisdn"]]),
    (
        {"accounts__required_contacts": ["msisdn", "email"], "sms": SMS},
        [["m.login.email.identity", "m.login.msisdn"]],
    ),
    (
        {"accounts__terms": [TERMS], "accounts__registration": "token"},
        [
            ["m.login.registration_token", "m.login.terms", "m.login.dummy"],
            ["m.login.registration_token", "m.login.terms", "m.login.email.identity"],
        ],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), OFFERED)
def test_the_configuration_says_which_flows_there_are(
    database_url: str, tmp_path: Path, changes: dict[str, Any], expected: list[list[str]]
) -> None:
    with World(database_url, tmp_path, **changes) as world:
        assert flows(world) == expected


def test_no_flow_is_the_beginning_of_another() -> None:
    from threepid.domain.authentication.flows import of_registration
    from world import settings

    for required, terms, registration, sms, email in product(
        ([], ["email"], ["msisdn"], ["email", "msisdn"]), ([], [TERMS]), ("open", "token"), (None, SMS), (True, False)
    ):
        changes: dict[str, Any] = {"accounts": {"registration": registration, "required_contacts": required}}
        changes["accounts"]["terms"] = terms
        if sms:
            changes["sms"] = sms
        if not email:
            changes["email"] = None
        found = of_registration(settings(Path(), **changes))
        for one, other in product(found, found):
            assert one == other or other[: len(one)] != one


def test_the_documents_are_told_and_their_acceptance_is_kept(database_url: str, tmp_path: Path) -> None:
    from threepid.storage import terms

    with World(database_url, tmp_path, accounts__terms=[TERMS], email=None) as world:
        answer = world.post(PATH, BODY).json()
        assert answer["params"] == {
            "m.login.terms": {"policies": {"privacy": {"version": "1.2", **TERMS["languages"]}}}  # type: ignore[dict-item]
        }
        for stage in ("m.login.terms", "m.login.dummy"):
            last = world.post(PATH, {**BODY, "auth": {"type": stage, "session": answer["session"]}})
        assert last.status_code == 200
        (kept,) = world.run(world.server.context.database.read(lambda tx: terms.accepted(tx, "@alice:example.org")))
        assert (kept.document, kept.version, kept.accepted_at) == ("privacy", "1.2", world.clock.now())


def test_a_token_lets_in_and_counts(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="token", email=None) as world:
        token = world.run(world.homeserver.registration_tokens.create(uses_allowed=1, note=unnoted))
        session = world.post(PATH, BODY).json()["session"]
        wrong = {"type": "m.login.registration_token", "token": "wrong", "session": session}
        refused = world.post(PATH, {**BODY, "auth": wrong})
        assert (refused.status_code, refused.json()["errcode"]) == (401, "M_FORBIDDEN")
        none = world.post(PATH, {**BODY, "auth": {"type": "m.login.registration_token", "session": session}})
        assert (none.status_code, none.json()["errcode"]) == (401, "M_MISSING_PARAM")
        right = world.post(PATH, {**BODY, "auth": {**wrong, "token": token}})
        assert right.json()["completed"] == ["m.login.registration_token"]
        assert world.post(PATH, {"auth": {"type": "m.login.dummy", "session": session}}).status_code == 200
        validity = f"/_matrix/client/v1/register/m.login.registration_token/validity?token={token}"
        assert world.get(validity).json() == {"valid": False}


def test_a_captcha_that_is_missing_or_wrong_has_its_own_errcode(database_url: str, tmp_path: Path) -> None:
    with (
        CaptchaProvider(tmp_path) as provider,
        World(database_url, tmp_path, accounts__captcha=provider.settings, outbound=provider.outbound) as world,
    ):
        begun = world.post(PATH, BODY).json()
        assert begun["flows"][0]["stages"][0] == "m.login.recaptcha"
        stage = {"type": "m.login.recaptcha", "session": begun["session"]}
        for more, errcode in (({}, "M_CAPTCHA_NEEDED"), ({"response": "wrong"}, "M_CAPTCHA_INVALID")):
            answer = world.post(PATH, {**BODY, "auth": {**stage, **more}})
            assert (answer.status_code, answer.json()["errcode"]) == (401, errcode)
            assert (answer.json()["session"], answer.json()["completed"]) == (begun["session"], [])
        solved = world.post(PATH, {**BODY, "auth": {**stage, "response": f"{RIGHT}:{SITE_KEY}"}}).json()
        assert (solved["completed"], "errcode" in solved) == (["m.login.recaptcha"], False)


@pytest.fixture
def strict(database_url: str, tmp_path: Path) -> Iterator[World]:
    changes: dict[str, Any] = {"accounts__required_contacts": ["email", "msisdn"], "sms": SMS}
    with World(database_url, tmp_path, **changes) as world:
        yield world


def test_both_addresses_become_contacts(strict: World) -> None:
    session = strict.post(PATH, BODY).json()["session"]
    mail = {"client_secret": "m", "email": "alice@example.com", "send_attempt": 1}
    by_mail = strict.post(f"{PATH}/email/requestToken", mail).json()
    phone = {"client_secret": "p", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}
    by_text = strict.post(f"{PATH}/msisdn/requestToken", phone).json()
    assert strict.text().recipient == "+447400123456"
    for sent, secret, code in ((by_mail, "m", strict.mail().code), (by_text, "p", strict.text().code)):
        body = {"sid": sent["sid"], "client_secret": secret, "token": code}
        assert strict.post(sent["submit_url"].removeprefix(BASE), body).json() == {"success": True}
    creds = {"sid": by_mail["sid"], "client_secret": "m"}
    # The proof of one medium is none of the other.
    swapped = {"type": "m.login.email.identity", "session": session}
    texted = {"sid": by_text["sid"], "client_secret": "p"}
    assert strict.post(PATH, {**BODY, "auth": {**swapped, "threepid_creds": texted}}).status_code == 401
    first = strict.post(PATH, {**BODY, "auth": {**swapped, "threepid_creds": creds}})
    assert first.json()["completed"] == ["m.login.email.identity"]
    auth = {"type": "m.login.msisdn", "session": session, "threepid_creds": texted}
    done = strict.post(PATH, {**BODY, "auth": auth})
    assert done.status_code == 200
    assert strict.contacts(done.json()["access_token"]) == ["alice@example.com", "447400123456"]


def test_a_page_that_the_mail_leads_to_finishes_a_registration_without_its_body(
    database_url: str, tmp_path: Path
) -> None:
    """Element is such a page. It knows the two sessions from its URL, and sends a name for the device of its own."""
    with World(database_url, tmp_path, accounts__required_contacts=["email"]) as world:
        first = {**BODY, "initial_device_display_name": "Element on the desktop"}
        session = world.post(PATH, first).json()["session"]
        mail = {"client_secret": "m", "email": "alice@example.com", "send_attempt": 1}
        sid = world.post(f"{PATH}/email/requestToken", mail).json()["sid"]
        world.post(world.mail().link)
        here = {"initial_device_display_name": "Element on the phone"}
        asked = world.post(PATH, {**here, "auth": {"session": session}})
        assert (asked.status_code, asked.json()["session"]) == (401, session)
        auth = {"type": "m.login.email.identity", "session": session}
        auth["threepid_creds"] = {"sid": sid, "client_secret": "m"}
        done = world.post(PATH, {**here, "auth": auth}).json()
        assert done["user_id"] == f"@{BODY['username']}:example.org"
        assert world.contacts(done["access_token"]) == ["alice@example.com"]
        # Where the registration was begun, the person is logged in as well; the session alone logs nobody in.
        assert world.post(PATH, {**first, "auth": auth}).json()["device_id"] == done["device_id"]
        assert set(world.post(PATH, {**here, "auth": auth}).json()) == {"user_id", "home_server"}


@pytest.mark.parametrize("without_body", [0, 1, 2])
def test_two_pages_may_finish_a_registration_at_once(database_url: str, tmp_path: Path, without_body: int) -> None:
    """The page where it was begun asks again and again, also while the page that the mail leads to is answered."""
    limit = {"burst": 1, "per_hour": 1}
    with World(
        database_url, tmp_path, accounts__required_contacts=["email"], limits={"registration_from_client": limit}
    ) as world:
        session = world.post(PATH, BODY).json()["session"]
        mail = {"client_secret": "m", "email": "alice@example.com", "send_attempt": 1}
        sid = world.post(f"{PATH}/email/requestToken", mail).json()["sid"]
        world.post(world.mail().link)
        auth = {"type": "m.login.email.identity", "session": session}
        auth["threepid_creds"] = {"sid": sid, "client_secret": "m"}
        bodies = [{**({} if place < without_body else BODY), "auth": auth} for place in range(2)]
        done = world.together(*(lambda body=body: world.acall("POST", PATH, body) for body in bodies))
        assert [answer.status_code for answer in done] == [200, 200], [answer.text for answer in done]
        assert {answer.json()["user_id"] for answer in done} == {"@alice:example.org"}
        assert len({answer.json().get("device_id") for answer in done} - {None}) == 1


@pytest.mark.parametrize("more", [{"username": "mallory"}, {"device_id": "PHONE"}, {"inhibit_login": True}])
def test_a_body_that_says_anything_else_is_another_request(world: World, more: dict[str, Any]) -> None:
    session = world.post(PATH, BODY).json()["session"]
    auth = {"type": "m.login.dummy", "session": session}
    changed = world.post(PATH, {"initial_device_display_name": "Phone", **more, "auth": auth})
    assert (changed.status_code, changed.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_reserved_names_are_for_operators_only(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__reserved_usernames=["_irc_*", "admin"]) as world:
        for name in ("_irc_alice", "admin"):
            answer = world.post(PATH, {**BODY, "username": name})
            assert (answer.status_code, answer.json()["errcode"]) == (400, "M_EXCLUSIVE")
            available = world.get(f"{PATH}/available?username={name}")
            assert available.json()["errcode"] == "M_EXCLUSIVE"
        assert world.get(f"{PATH}/available?username=administrator").json() == {"available": True}
        registration = world.homeserver.registration
        assert world.run(registration.check_username("admin", by_operator=True)) == "@admin:example.org"


def test_domains_that_may_register_are_not_those_that_may_be_added(database_url: str, tmp_path: Path) -> None:
    denied = tmp_path / "disposable.txt"
    denied.write_text("# throw-away mailboxes\ntrash.example\n")
    changes: dict[str, Any] = {
        "policy": {"register_email_domains_allowed": ["school.example"], "email_domains_denied_file": str(denied)}
    }
    with World(database_url, tmp_path, **changes) as world:

        def ask(path: str, address: str) -> Any:
            body = {"client_secret": "s", "email": address, "send_attempt": 1}
            return world.post(f"/_matrix/client/v3/{path}/email/requestToken", body).json().get("errcode")

        assert ask("register", "a@school.example") is None
        assert ask("register", "a@home.example") == "M_THREEPID_DENIED"
        assert ask("account/3pid", "a@home.example") is None
        for path, address in product(("register", "account/3pid"), ("a@trash.example", "a@deep.trash.example")):
            assert ask(path, address) == "M_THREEPID_DENIED"


def test_one_caller_opens_so_many_accounts(database_url: str, tmp_path: Path) -> None:
    limit = {"burst": 2, "per_hour": 1}
    with World(database_url, tmp_path, limits={"all": "on", "registration_from_client": limit}) as world:
        auth = {"type": "m.login.dummy"}
        bodies = [{"username": f"u{number}", "password": "long enough", "auth": auth} for number in range(4)]
        assert [world.post(PATH, body).status_code for body in bodies] == [200, 200, 429, 429]
        world.clock.advance(3_600_000)
        assert world.post(PATH, bodies[2]).status_code == 200
