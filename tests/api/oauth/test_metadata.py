"""The metadata of the server, and where it is found."""

from pathlib import Path
from typing import Any

import pytest

from beside import beside_a_synapse
from threepid.spec.oauth.accounts import Action, actions
from world import World

PATHS = (
    "/.well-known/openid-configuration",
    "/_matrix/client/v1/auth_metadata",
    "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
)
HERE = "https://matrix.example.org"


@pytest.mark.parametrize("path", PATHS)
def test_the_metadata_names_every_endpoint(world: World, path: str) -> None:
    answer = world.get(path)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=600"
    assert answer.json() == {
        "issuer": f"{HERE}/",
        "authorization_endpoint": f"{HERE}/oauth2/authorize",
        "token_endpoint": f"{HERE}/oauth2/token",
        "revocation_endpoint": f"{HERE}/oauth2/revoke",
        "registration_endpoint": f"{HERE}/oauth2/clients/register",
        "device_authorization_endpoint": f"{HERE}/oauth2/device",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["urn:matrix:client:api:*", "urn:matrix:org.matrix.msc2967.client:api:*"],
        "authorization_response_iss_parameter_supported": True,
        "account_management_uri": f"{HERE}/account/",
        "account_management_actions_supported": [
            "org.matrix.profile",
            "org.matrix.devices_list",
            "org.matrix.device_view",
            "org.matrix.device_delete",
            "org.matrix.account_deactivate",
            "org.matrix.sessions_list",
            "org.matrix.session_view",
            "org.matrix.session_end",
        ],
        "prompt_values_supported": ["create"],
    }


def test_a_server_with_closed_registration_offers_none(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="closed") as world:
        assert "prompt_values_supported" not in world.get(PATHS[0]).json()


@pytest.mark.parametrize("changes", [{"oauth__enabled": False}, {"accounts": None}])
def test_a_server_without_it_says_so_everywhere(database_url: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    with World(database_url, tmp_path, **changes) as world:
        for path in (*PATHS, "/oauth2/token", "/oauth2/unknown"):
            answer = world.get(path)
            assert answer.headers["cache-control"] == "no-store"
            assert (answer.status_code, answer.json()["errcode"]) == (404, "M_UNRECOGNIZED"), path
        assert world.get("/account/link").status_code == 404
        assert world.get("/oauth2/authorize").status_code == 404
        assert "org.matrix.msc2965.authentication" not in world.get("/.well-known/matrix/client").text


def test_every_endpoint_answers_the_preflight_of_a_browser(world: World) -> None:
    for path in ("token", "revoke", "registration", "device"):
        answer = world.call("OPTIONS", f"/oauth2/{path}")
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


def test_keys_are_reset_on_our_pages_only_beside_a_homeserver_that_has_them(database_url: str, tmp_path: Path) -> None:
    assert Action.CROSS_SIGNING_RESET not in actions(has_homeserver=False)
    with beside_a_synapse(database_url, tmp_path) as both:
        metadata = both.world.get("/.well-known/openid-configuration").json()
        assert "org.matrix.cross_signing_reset" in metadata["account_management_actions_supported"]
