"""The pages of the stages that are made of one form."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from captcha_provider import RIGHT, SITE_KEY, CaptchaProvider
from threepid.api.endpoints import ACCOUNTS
from threepid.spec.uia import Operation
from threepid.web.fallback.visit import PURPOSES
from web.visitor import DONE, Visitor, begin, completed
from world import PASSWORD, World, unnoted

TERMS = [
    {
        "id": "privacy",
        "version": "1.0",
        "languages": {
            "en": {"name": "Privacy", "url": "https://example.org/en"},
            "de": {"name": "Datenschutz", "url": "https://example.org/de"},
        },
    },
    {"id": "rules", "version": "2", "languages": {"fr": {"name": "Règles", "url": "https://example.org/fr"}}},
]


def test_the_stage_without_a_question_takes_one_press(world: World) -> None:
    session = begin(world)["session"]
    visitor = Visitor.at_stage(world, "m.login.dummy", session)
    assert visitor.page.heading == "Continue?"
    assert "create an account" in visitor.page.text
    assert completed(world, session) == []
    assert visitor.press("Continue").heading == DONE
    assert completed(world, session) == ["all"]


@pytest.mark.parametrize("version", ["r0", "v3", "unstable"])
def test_a_finished_stage_tells_the_app_at_once(world: World, version: str) -> None:
    session = begin(world)["session"]
    assert Visitor.at_stage(world, "m.login.dummy", session, version=version).press("Continue").heading == DONE
    again = Visitor.at_stage(world, "m.login.dummy", session, version=version)
    assert again.page.heading == DONE
    assert again.page.scripts == ["/static/auth_done.js"]
    assert "script-src 'self';" in again.page.headers["Content-Security-Policy"] + ";"
    assert again.send({}).heading == DONE


def test_the_password_is_that_of_the_account_which_the_page_names(world: World) -> None:
    token = world.register()
    session = begin(world, "/delete_devices", {"devices": ["ABC"]}, access_token=token)["session"]
    visitor = Visitor.at_stage(world, "m.login.password", session)
    assert "@alice:example.org" in visitor.page.text
    assert "sign out some of your devices" in visitor.page.text
    wrong = visitor.press("Continue", password="not it")
    assert (wrong.status, wrong.problem) == (403, "The password is wrong.")
    assert wrong.texts["password-problem"] == wrong.problem
    assert wrong.attributes["password"]["aria-describedby"] == "password-problem"
    assert wrong.attributes["password"]["aria-invalid"] == "true"
    assert "not it" not in wrong.html
    assert visitor.press("Continue", password=PASSWORD).heading == DONE
    repeated = world.post("/_matrix/client/v3/delete_devices", {"auth": {"session": session}}, token=token)
    assert repeated.status_code == 200, repeated.text


def test_a_password_is_guessed_on_the_page_as_seldom_as_anywhere(database_url: str, tmp_path: Path) -> None:
    limit = {"burst": 2, "per_hour": 1}
    with World(database_url, tmp_path, limits={"guesses_at_account_from_client": limit}) as world:
        token = world.register()
        session = begin(world, "/delete_devices", {"devices": []}, access_token=token)["session"]
        visitor = Visitor.at_stage(world, "m.login.password", session)
        assert [visitor.press("Continue", password="no").status for _ in range(3)] == [403, 403, 429]
        assert "wait" in visitor.page.problem
        assert int(visitor.page.headers["Retry-After"]) > 0


@pytest.fixture
def guarded(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, accounts__registration="token", accounts__terms=TERMS) as world:
        yield world


def test_a_registration_token_is_taken_and_a_wrong_one_refused(guarded: World) -> None:
    token = guarded.run(guarded.homeserver.registration_tokens.create(note=unnoted))
    session = begin(guarded)["session"]
    visitor = Visitor.at_stage(guarded, "m.login.registration_token", session)
    wrong = visitor.press("Continue", token="nonsense")
    assert wrong.status == 403
    assert "is unknown" in wrong.texts["token-problem"]
    assert visitor.press("Continue", token=f" {token} ").heading == DONE
    assert completed(guarded, session) == ["m.login.registration_token"]


def test_a_registration_token_is_taken_with_the_invisible_marks_that_a_chat_adds(guarded: World) -> None:
    token = guarded.run(guarded.homeserver.registration_tokens.create(note=unnoted))
    session = begin(guarded)["session"]
    visitor = Visitor.at_stage(guarded, "m.login.registration_token", session)
    visitor.press("Continue", token=f"\u2068{token[:4]}\u200b{token[4:]}\u2069\ufeff")
    assert completed(guarded, session) == ["m.login.registration_token"]


def at_terms(world: World, **headers: str) -> Visitor:
    token = world.run(world.homeserver.registration_tokens.create(note=unnoted))
    session = begin(world)["session"]
    Visitor.at_stage(world, "m.login.registration_token", session).press("Continue", token=token)
    return Visitor.at_stage(world, "m.login.terms", session, **headers)


def test_documents_are_shown_in_the_language_of_the_browser_and_accepted_one_by_one(guarded: World) -> None:
    visitor = at_terms(guarded, **{"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
    links = {link["href"]: link for link in visitor.page.links.values()}
    assert links.keys() == {"https://example.org/de", "https://example.org/fr"}
    assert links["https://example.org/de"]["lang"] == "de"
    assert links["https://example.org/fr"]["rel"] == "noopener noreferrer"
    assert links["https://example.org/fr"]["target"] == "_blank"
    for missing in ((), ("accept-privacy",)):
        refused = visitor.press("Ich stimme zu", check=missing)
        assert (refused.status, refused.problem) == (400, "Lies alles und stimme allem zu, um weiterzumachen.")
    assert (
        visitor.press("Ich stimme zu", check=("accept-privacy", "accept-rules")).heading == "✓ Danke, das hat geklappt"
    )


def test_a_document_that_was_replaced_meanwhile_is_not_accepted(guarded: World) -> None:
    visitor = at_terms(guarded)
    refused = visitor.send({"accept-privacy": "0.9", "accept-rules": "2"})
    assert (refused.status, refused.problem) == (400, "Read and accept everything to continue.")


def test_the_captcha_of_the_configuration_is_shown_and_asked_about(database_url: str, tmp_path: Path) -> None:
    with (
        CaptchaProvider(tmp_path) as provider,
        World(database_url, tmp_path, accounts__captcha=provider.settings, outbound=provider.outbound) as world,
    ):
        session = begin(world)["session"]
        visitor = Visitor.at_stage(world, "m.login.recaptcha", session)
        assert visitor.page.scripts == [f"{provider.origin}/api.js", "/static/once.js"]
        policy = dict(part.split(" ", 1) for part in visitor.page.headers["Content-Security-Policy"].split("; "))
        assert policy["script-src"] == f"'self' {provider.origin}"
        assert policy["frame-src"] == provider.origin
        assert policy["style-src"] == f"'self' {provider.origin}"
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert "data-sitekey" in visitor.page.html
        assert "needs JavaScript" in visitor.page.text
        assert visitor.press("Continue").problem == "Solve the captcha first."
        assert visitor.send({"g-recaptcha-response": "wrong"}).problem == "The captcha was not solved."
        assert visitor.page.status == 403
        assert visitor.send({"h-captcha-response": f"{RIGHT}:{SITE_KEY}"}).heading == DONE
        assert completed(world, session) == ["m.login.recaptcha"]


def test_without_its_provider_a_captcha_cannot_be_solved(database_url: str, tmp_path: Path) -> None:
    with CaptchaProvider(tmp_path) as provider:
        gone = provider.settings
    with World(database_url, tmp_path, accounts__captcha=gone, outbound=provider.outbound) as world:
        visitor = Visitor.at_stage(world, "m.login.recaptcha", begin(world)["session"])
        assert (
            visitor.send({"g-recaptcha-response": "x"}).problem == "We could not verify the captcha. Please try again."
        )
        assert visitor.page.status == 502


def test_a_session_that_is_unknown_expired_or_used_has_a_page_that_says_so(world: World) -> None:
    for session in ("", "unknown", "x" * 2000):
        assert Visitor.at_stage(world, "m.login.dummy", session).page.status == 404
    expired = Visitor.at_stage(world, "m.login.dummy", begin(world)["session"])
    world.clock.advance(16 * 60_000)
    assert expired.press("Continue").status == 404
    assert expired.page.heading == "This page has expired"
    used = begin(world, body={"username": "bob", "password": PASSWORD})["session"]
    begun = Visitor.at_stage(world, "m.login.dummy", used)
    assert begun.press("Continue").heading == DONE
    assert world.post("/_matrix/client/v3/register", {"auth": {"session": used}}).status_code == 200
    begun.open(begun.path)
    assert begun.page.status == 404
    assert world.get("/_matrix/client/v3/auth/m.login.dummy/fallback/web").status_code == 404


@pytest.mark.parametrize(
    "stage", ["m.login.password", "m.login.terms", "m.login.recaptcha", "m.login.sso", "../x", "é"]
)
def test_a_stage_that_is_not_offered_has_a_page_that_says_so(world: World, stage: str) -> None:
    visitor = Visitor.at_stage(world, stage, begin(world)["session"])
    assert (visitor.page.status, visitor.page.heading) == (400, "This step is not needed")
    assert visitor.send({"password": "x"}).status == 400


def test_a_later_stage_is_not_completed_before_its_turn(guarded: World) -> None:
    session = begin(guarded)["session"]
    visitor = Visitor.at_stage(guarded, "m.login.terms", session)
    assert visitor.page.status == 400
    assert visitor.send({"accept-privacy": "1.0", "accept-rules": "2"}).status == 400
    assert completed(guarded, session) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 400),
        ({"Content-Type": "application/json"}, 400),
    ],
)
def test_a_form_of_another_site_completes_nothing(world: World, headers: dict[str, str], status: int) -> None:
    session = begin(world)["session"]
    visitor = Visitor.at_stage(world, "m.login.dummy", session)
    assert visitor.send({}, **headers).status == status
    assert completed(world, session) == []


def test_an_endless_form_is_refused(world: World) -> None:
    visitor = Visitor.at_stage(world, "m.login.dummy", begin(world)["session"])
    assert visitor.send({"a": "x" * 70_000}).status == 413


def test_every_operation_with_authentication_has_words_for_people() -> None:
    asked = {endpoint.uia for endpoint in ACCOUNTS if endpoint.uia is not None}
    assert asked == PURPOSES.keys() == set(Operation)
