"""A135: no address is bound at our identity server through the homeserver before its terms are accepted."""

from pathlib import Path
from typing import Any

from world import World

TERMS = "/_matrix/identity/v2/terms"


def document(version: str) -> dict[str, Any]:
    text = {"name": "Rules", "url": f"https://example.org/rules-{version}"}
    return {"id": "rules", "version": version, "languages": {"en": text}}


def accept(world: World, identity: str, version: str) -> None:
    answer = world.post(TERMS, {"user_accepts": [f"https://example.org/rules-{version}"]}, token=identity)
    assert answer.status_code == 200


def proven_at_the_homeserver(world: World, token: str, secret: str = "s") -> str:
    """A validation session of the homeserver, which asks for no terms of the identity server."""
    body = {"client_secret": secret, "email": "alice@example.com", "send_attempt": 1}
    answer = world.post("/_matrix/client/v3/account/3pid/email/requestToken", body, token=token).json()
    code = {"sid": answer["sid"], "client_secret": secret, "token": world.mail().code}
    assert world.post("/_threepid/client/v1/submit_token", code).status_code == 200
    return str(answer["sid"])


def test_a_contact_is_added_but_not_bound(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__terms=[document("1")]) as world:
        token, reader = world.register(), world.identity_token(world.register("reader"), "reader")
        accept(world, reader, "1")
        assert world.add(token, proven_at_the_homeserver(world, token), secret="s", bind=True).status_code == 200
        assert world.contacts(token) == ["alice@example.com"]
        assert world.look_up(reader, "alice@example.com") is None
        accept(world, world.identity_token(token), "1")
        again = proven_at_the_homeserver(world, token, "t")
        assert world.add(token, again, secret="t", bind=True).status_code == 200
        assert world.look_up(reader, "alice@example.com") == "@alice:example.org"


def test_binding_through_the_homeserver_waits_for_new_terms(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__terms=[document("1")]) as world:
        token = world.register()
        identity = world.identity_token(token)
        accept(world, identity, "1")
        sid = world.validated(identity)
        creds = {"id_server": "matrix.example.org", "sid": sid, "client_secret": "secret", "id_access_token": identity}
    with world.again(identity__terms=[document("2")]) as later:
        refused = later.post("/_matrix/client/v3/account/3pid/bind", creds, token=token)
        assert (refused.status_code, refused.json()["errcode"]) == (403, "M_TERMS_NOT_SIGNED")
        accept(later, identity, "2")
        assert later.look_up(identity, "alice@example.com") is None
        assert later.post("/_matrix/client/v3/account/3pid/bind", creds, token=token).json() == {}
        assert later.look_up(identity, "alice@example.com") == "@alice:example.org"
