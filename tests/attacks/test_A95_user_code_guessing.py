"""A95: the code of somebody else's device is not guessed, and a code that a stranger sends is not allowed unknowingly."""

from pathlib import Path
from typing import Any

from oauth_app import SCOPE, Consenting, Television, ask
from threepid.clock import HOUR
from world import World

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"


def test_a_code_has_enough_letters_that_nobody_confuses(world: World) -> None:
    codes = {Television(world).begin()["user_code"] for _ in range(20)}
    assert len(codes) == 20
    for code in codes:
        first, dash, second = code.partition("-")
        assert (len(first), dash, len(second)) == (4, "-", 4)
        assert set(first + second) <= set(ALPHABET)
    assert len(ALPHABET) ** 8 > 2 * 10**10


def test_guesses_are_limited_on_both_forms_and_a_right_code_is_not_counted(database_url: str, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"limits__all": "on", "limits__guesses_from_client": {"burst": 5, "per_hour": 1}}
    with World(database_url, tmp_path, **limits) as world:
        world.register()
        device = Television(world)
        begun = device.begin()
        browser = Consenting(world, "/account/link")
        browser.sign_in()
        for _ in range(10):
            browser.press("Continue", code=begun["user_code"])
            assert "Allow" in browser.page.buttons
            browser.open("/account/link")
        for number in range(5):
            path, more = ("/account/link", {}) if number % 2 else ("/account/link/decide", {"decision": "allow"})
            fields = {"form_token": browser.page.fields["form_token"], "code": f"WRONG{number}", **more}
            assert browser.submit(fields, path).status == 403
        fields = {"form_token": browser.page.fields["form_token"], "code": begun["user_code"]}
        assert browser.submit(fields, "/account/link").status == 429
        assert browser.submit({**fields, "decision": "allow"}, "/account/link/decide").status == 429
        assert device.error(begun["device_code"]) == "authorization_pending"
        world.clock.advance(HOUR)


def test_devices_that_ask_for_codes_are_limited(database_url: str, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"limits__all": "on", "limits__oauth_from_client": {"burst": 3, "per_hour": 1}}
    with World(database_url, tmp_path, **limits) as world:
        device = Television(world)
        for _ in range(3):
            device.begin()
        answer = ask(world, "/oauth2/device", {"client_id": device.client_id, "scope": SCOPE})
        assert (answer.status_code, [*answer.json()]) == (429, ["error_description"])
        assert int(answer.headers["retry-after"]) > 0


def test_the_pages_warn_and_say_which_device_asks_and_from_where(world: World) -> None:
    world.register()
    device = Television(world, client_name="Television")
    begun = device.begin()
    browser = Consenting(world, f"/account/link?code={begun['user_code']}")
    browser.sign_in()
    assert "Did somebody send you this code or a link with it?" in browser.page.text
    browser.press("Continue")
    assert "Did somebody send you this code or a link with it?" in browser.page.text
    assert "127.0.0.1" in browser.page.text
    assert {"app.example.com", "ABCDEFGHIJ"} <= set(browser.page.strong)


def test_the_database_does_not_hold_the_codes(world: World) -> None:
    begun = Television(world).begin()
    content = Path(world.database_url.removeprefix("sqlite:")) if world.database.engine == "sqlite" else None
    if content is None:
        return
    found = b"".join(path.read_bytes() for path in content.parent.glob(f"{content.name}*"))
    assert begun["user_code"].replace("-", "").encode() not in found
    assert begun["device_code"].encode() not in found
