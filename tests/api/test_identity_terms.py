"""Terms of the identity server: offered to everybody, accepted once for each version, asked for where they matter."""

from pathlib import Path
from typing import Any

from threepid.api.endpoints import IDENTITY
from threepid.spec.endpoint import Auth
from world import World

I = "/_matrix/identity/v2"  # noqa: E741


def document(version: str) -> dict[str, Any]:
    return {
        "id": "rules",
        "version": version,
        "languages": {
            language: {"name": language, "url": f"https://example.org/rules-{version}-{language}"}
            for language in ("en", "de")
        },
    }


PRIVACY = {"id": "privacy", "version": "1", "languages": {"en": {"name": "P", "url": "https://example.org/p"}}}


def test_without_terms_none_are_offered_and_none_asked_for(world: World) -> None:
    assert world.get(f"{I}/terms").json() == {"policies": {}}
    identity = world.identity_token(world.register())
    assert world.get(f"{I}/account", token=identity).status_code == 200


def test_every_operation_waits_for_the_acceptance(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__terms=[document("1"), PRIVACY]) as world:
        identity = world.identity_token(world.register())
        offered = world.get(f"{I}/terms").json()["policies"]
        assert offered["rules"]["de"] == {"name": "de", "url": "https://example.org/rules-1-de"}
        exempt = set()
        for endpoint in sorted(IDENTITY, key=lambda one: one.name == "logout_account"):  # it ends the token: last
            if endpoint.auth is Auth.IDENTITY_TOKEN:
                path = endpoint.paths[0].template
                answer = world.call(endpoint.method, path, {} if endpoint.body_type else None, token=identity)
                if answer.json().get("errcode") != "M_TERMS_NOT_SIGNED":
                    exempt.add(endpoint.name)
                else:
                    assert answer.status_code == 403
        assert exempt == {"accept_terms", "logout_account"}


def test_one_document_is_not_the_other_and_any_language_will_do(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__terms=[document("1"), PRIVACY]) as world:
        identity = world.identity_token(world.register())

        def accept(*urls: str) -> int:
            answer = world.post(f"{I}/terms", {"user_accepts": list(urls)}, token=identity)
            assert answer.json() == {}
            return world.get(f"{I}/account", token=identity).status_code

        assert accept("https://elsewhere.example/") == 403
        assert accept("https://example.org/rules-1-de") == 403
        assert accept("https://example.org/p") == 200


def test_another_version_is_accepted_anew(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__terms=[document("1")]) as world:
        identity = world.identity_token(world.register())
        world.post(f"{I}/terms", {"user_accepts": ["https://example.org/rules-1-en"]}, token=identity)
        assert world.get(f"{I}/account", token=identity).status_code == 200
    with World(database_url, tmp_path, seed="again", identity__terms=[document("2")]) as world:
        assert world.get(f"{I}/account", token=identity).json()["errcode"] == "M_TERMS_NOT_SIGNED"
        world.post(f"{I}/terms", {"user_accepts": ["https://example.org/rules-2-en"]}, token=identity)
        assert world.get(f"{I}/account", token=identity).status_code == 200
