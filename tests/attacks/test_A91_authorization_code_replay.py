"""A91: a code works once. A second use ends the session that the first one opened, and its person is told."""

from oauth_app import App, as_tokens, whoami
from threepid.background import run_once
from threepid.clock import DAY, MINUTE
from web.portal_browser import Browser
from world import World


def with_email(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))


def test_a_second_use_ends_the_session_and_is_told(world: World) -> None:
    with_email(world)
    app = App(world)
    code = app.code()
    tokens = as_tokens(app.exchange(code))
    assert whoami(world, tokens.access_token).status_code == 200
    assert app.exchange(code).json()["error"] == "invalid_grant"
    assert whoami(world, tokens.access_token).status_code == 401
    assert app.refresh(tokens.refresh_token).json()["error"] == "invalid_grant"
    assert "Somebody used an old sign-in of an app" in world.mail().text


def test_of_many_uses_at_once_at_most_one_gets_tokens(world: World) -> None:
    world.register()
    app = App(world)
    code = app.code()
    form = {
        "grant_type": "authorization_code",
        "client_id": app.client_id,
        "code": code,
        "redirect_uri": "https://app.example.com/callback",
        "code_verifier": "v" * 43,
    }
    answers = world.together(*[lambda: world.http.post("/oauth2/token", data=form)] * 8)
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert whoami(world, good[0]["access_token"]).status_code == 401


def test_a_stranger_without_the_verifier_cannot_end_a_session_by_the_code_alone(world: World) -> None:
    world.register()
    app = App(world)
    code = app.code()
    tokens = as_tokens(app.exchange(code))
    assert app.exchange(code, code_verifier="w" * 43).json()["error"] == "invalid_grant"
    assert App(world, client_name="Other").exchange(code).json()["error"] == "invalid_grant"
    assert whoami(world, tokens.access_token).status_code == 200


def test_a_replay_does_not_end_a_later_session_of_the_same_device(world: World) -> None:
    world.register()
    app = App(world)
    code = app.code()
    as_tokens(app.exchange(code))
    later = app.tokens()
    assert app.exchange(code).json()["error"] == "invalid_grant"
    assert whoami(world, later.access_token).status_code == 200


def test_a_code_expires_and_is_forgotten(world: World) -> None:
    world.register()
    app = App(world)
    code = app.code()
    world.clock.advance(10 * MINUTE)
    assert app.exchange(code).json()["error"] == "invalid_grant"
    world.clock.advance(DAY)
    world.run(run_once(world.server.context))
    assert app.exchange(code).json()["error"] == "invalid_grant"


def test_a_browser_that_was_signed_out_takes_its_codes_with_it(world: World) -> None:
    world.register()
    app = App(world)
    browser = app.opened()
    browser.sign_in()
    code = browser.allow()["code"]
    browser.open("/account/")
    browser.press("Sign out")
    assert app.exchange(code).json()["error"] == "invalid_grant"
    assert Browser(world).page.heading == "Sign in"
