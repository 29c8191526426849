"""A47: one rule for each string, and the same answer on both databases."""

from typing import Any

import pytest

from world import World

STRINGS = [
    "a\u0000b", "a\ud800b", "a\u0001b", "a\u0085b", "a\u202eb", "a\u2066b", "a\ufeffb", "x" * 257, "x" * 60_000, "\U0001f600" * 64,
    "e\u0301", "'; DROP TABLE accounts; --", "%s%s%s%n", "{{7*7}}", "../../etc/passwd", "%00", "\\", '"', "", " ",
]  # fmt: skip
# What each string gets as the name of a device, as a username, as a password of a login, as a query parameter.
EXPECTED = {
    "device": [400, 400, 400, 400, 200, 200, 200, 400, 400, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200],
}


def answers(world: World, text: str) -> dict[str, Any]:
    import json

    found: dict[str, Any] = {}
    login = {"type": "m.login.password", "user": "alice", "password": "correct horse battery"}
    for field in ("initial_device_display_name", "device_id"):
        answer = world.post("/_matrix/client/v3/login", json.dumps({**login, field: text}))
        found[field] = answer.status_code, answer.json().get("errcode")
    for field in ("user", "password"):
        answer = world.post("/_matrix/client/v3/login", json.dumps({**login, field: text}))
        found[field] = answer.status_code, answer.json().get("errcode")
    register = {"username": text, "password": "long enough", "auth": {"type": "m.login.dummy"}}
    answer = world.post("/_matrix/client/v3/register", json.dumps(register))
    found["username"] = answer.status_code, answer.json().get("errcode")
    from urllib.parse import quote

    quoted = quote(text.encode("utf-8", "surrogatepass"))
    answer = world.get(f"/_matrix/client/v3/register/available?username={quoted}")
    found["query"] = answer.status_code, answer.json().get("errcode")
    return found


@pytest.mark.parametrize(("index", "text"), list(enumerate(STRINGS)), ids=lambda value: repr(value)[:30])
def test_each_string_has_one_answer_and_never_a_failure(world: World, index: int, text: str) -> None:
    world.register()
    found = answers(world, text)
    assert all(status < 500 for status, _ in found.values()), found
    # The same literal expectations run on SQLite and on PostgreSQL.
    assert found["initial_device_display_name"][0] == EXPECTED["device"][index], found
    expected = 200 if text == "../../etc/passwd" else 400  # dots and slashes are letters of a username
    assert found["username"][0] == expected, found
    assert found["query"][0] == 400, found


def test_a_password_with_a_nul_is_refused_everywhere_alike(world: World) -> None:
    body = '{"username": "bob", "password": "long\\u0000enough", "auth": {"type": "m.login.dummy"}}'
    assert world.post("/_matrix/client/v3/register", body).json()["errcode"] == "M_BAD_JSON"
    login = '{"type": "m.login.password", "user": "bob", "password": "long\\u0000enough"}'
    assert world.post("/_matrix/client/v3/login", login).json()["errcode"] == "M_BAD_JSON"
