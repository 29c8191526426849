"""A96: two processes of one app that refresh at once are never logged out; a thief of a refresh token ends the session."""

from typing import Any

import httpx

from oauth_app import App, Tokens, as_tokens, ask, whoami
from threepid.clock import MINUTE, SECOND
from world import World


def refresh(world: World, app: App, tokens: Tokens, agent: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": app.client_id, "refresh_token": tokens.refresh_token}
    return ask(world, "/oauth2/token", form, **{"User-Agent": agent})


def test_two_processes_of_one_app_at_once_get_the_same_pair_and_both_go_on(world: World) -> None:
    world.register()
    app = App(world)
    tokens = app.tokens()
    form = {"grant_type": "refresh_token", "client_id": app.client_id, "refresh_token": tokens.refresh_token}
    answers = world.together(*[lambda: world.http.post("/oauth2/token", data=form)] * 4)
    pairs = {(answer.json()["access_token"], answer.json()["refresh_token"]) for answer in answers}
    assert len(pairs) == 1
    scopes = {answer.json()["scope"] for answer in answers}
    assert scopes == {tokens.scope}
    assert whoami(world, answers[0].json()["access_token"]).status_code == 200
    assert as_tokens(app.refresh(answers[1].json()["refresh_token"]))


def test_a_process_that_is_late_by_seconds_gets_the_pair_of_the_other_although_it_was_used(world: World) -> None:
    world.register()
    app = App(world)
    tokens = app.tokens()
    first = as_tokens(app.refresh(tokens.refresh_token))
    assert whoami(world, first.access_token).status_code == 200
    world.clock.advance(10 * SECOND)
    late = as_tokens(app.refresh(tokens.refresh_token))
    assert late.access_token == first.access_token
    assert late.expires_in == 290


def test_a_lost_answer_can_be_asked_for_again_much_later(world: World) -> None:
    world.register()
    app = App(world)
    tokens = app.tokens()
    for _ in range(3):
        as_tokens(app.refresh(tokens.refresh_token))
        world.clock.advance(10 * MINUTE)
    last = as_tokens(app.refresh(tokens.refresh_token))
    assert whoami(world, last.access_token).status_code == 200


def test_a_spent_token_ends_the_session_and_is_told(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    app = App(world)
    tokens = app.tokens()
    honest = as_tokens(app.refresh(tokens.refresh_token))
    assert whoami(world, honest.access_token).status_code == 200
    world.clock.advance(MINUTE)
    before = len(world.mails())
    assert refresh(world, app, tokens, "Thief/1").json()["error"] == "invalid_grant"
    assert whoami(world, honest.access_token).status_code == 401
    assert app.refresh(honest.refresh_token).json()["error"] == "invalid_grant"
    assert len(world.mails()) == before + 1
    assert world.mail().recipient == "alice@example.com"


def test_a_thief_who_is_first_loses_what_he_has_when_the_app_comes(world: World) -> None:
    world.register()
    app = App(world)
    tokens = app.tokens()
    stolen = as_tokens(refresh(world, app, tokens, "Thief/1"))
    assert whoami(world, stolen.access_token).status_code == 200
    world.clock.advance(5 * SECOND)
    assert refresh(world, app, tokens, "Honest/1").json()["error"] == "invalid_grant"
    assert whoami(world, stolen.access_token).status_code == 401


def test_another_app_with_the_token_neither_gets_anything_nor_ends_the_session(world: World) -> None:
    world.register()
    app, other = App(world), App(world, client_name="Other")
    tokens = app.tokens()
    honest = as_tokens(app.refresh(tokens.refresh_token))
    assert whoami(world, honest.access_token).status_code == 200
    world.clock.advance(MINUTE)
    assert refresh(world, other, tokens, "Thief/1").json()["error"] == "invalid_grant"
    assert whoami(world, honest.access_token).status_code == 200


def test_a_flood_of_refreshes_is_slowed_down_and_logs_nobody_out(world: World) -> None:
    """Any 4xx with an `error` would log the app out, so the limit is a 503, which says when to come back."""
    changes: dict[str, Any] = {"limits__all": "on", "limits__authentication_from_client": {"burst": 2, "per_hour": 1}}
    world.register()
    app = App(world)
    tokens = app.tokens()
    with world.again(**changes) as limited:
        app.world = limited
        for _ in range(2):
            tokens = as_tokens(app.refresh(tokens.refresh_token))
        answer = app.refresh(tokens.refresh_token)
        assert (answer.status_code, [*answer.json()]) == (503, ["error_description"])
        assert int(answer.headers["retry-after"]) > 0
        assert whoami(limited, tokens.access_token).status_code == 200
