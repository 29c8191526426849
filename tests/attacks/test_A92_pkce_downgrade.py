"""A92: without the verifier of its challenge a stolen code is worth nothing, and no app can do without a challenge."""

import pytest

from oauth_app import CHALLENGE, VERIFIER, App
from world import World


def test_a_request_without_a_challenge_is_not_shown_to_a_person(world: World) -> None:
    for changes in ({"code_challenge": None}, {"code_challenge_method": None}, {"code_challenge_method": "plain"}):
        assert App(world).opened(**changes).told()["error"] == "invalid_request"


@pytest.mark.parametrize(
    "verifier",
    [
        None,
        "",
        CHALLENGE,
        VERIFIER[:-1],
        VERIFIER + "v",
        VERIFIER.upper(),
        "v" * 42,
        "v" * 129,
        "é" * 43,
        f"{VERIFIER}\n",
    ],
)
def test_only_the_verifier_itself_is_taken(world: World, verifier: str | None) -> None:
    world.register()
    app = App(world)
    code = app.code()
    assert app.exchange(code, code_verifier=verifier).json()["error"] in ("invalid_grant", "invalid_request")
    assert app.exchange(code).status_code == 200


def test_a_code_injected_into_another_request_of_the_same_app_fails(world: World) -> None:
    """The attacker's code in the victim's app: the app sends the verifier of its own request."""
    world.register()
    app = App(world)
    attackers = app.code(code_challenge="A" * 43)
    assert app.exchange(attackers).json()["error"] == "invalid_grant"
