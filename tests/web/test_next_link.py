"""People are sent on to listed places only."""

import pytest

from threepid.config import Web
from threepid.web.next_link import target
from world import World

WEB = Web(next_link_hosts=("good.example",), next_link_schemes=("element",))
EVIL = [
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "https:evil.example",
    "https:/evil.example",
    "/\\evil.example",
    "https://good.example@evil.example",
    "https://good.example.evil.example",
    "https://good%2eexample",
    "https://good.example:8443/",
    "https://good.example\\.evil.example",
    "https://good.example\t.evil.example",
    "https://good.example\n",
    "https://g\u043eod.example",
    "http://good.example",
    "file:///etc/passwd",
    "vbscript:x",
    "https://" + "x" * 2000,
    "https://[::1",
    "",
]


@pytest.mark.parametrize("link", EVIL)
def test_anything_else_than_a_listed_place_is_only_shown(link: str) -> None:
    assert target(WEB, link, "sid1") is None
    assert target(Web(), "https://good.example/", "sid1") is None


def test_the_sid_is_added_to_a_listed_place() -> None:
    assert target(WEB, "https://good.example/a?b=c#d", "s&id") == "https://good.example/a?b=c&sid=s%26id#d"
    assert target(WEB, "https://GOOD.example", "1") == "https://GOOD.example?sid=1"
    assert target(WEB, "element://open", "1") == "element://open?sid=1"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        # Element reads `#/register?…` alone, and starts over without the sid there.
        ("https://good.example/#/register?client_secret=a&hs_url=b", "#/register?client_secret=a&hs_url=b&sid=s%26id"),
        ("https://good.example/?lang=fr#/register?client_secret=a", "?lang=fr#/register?client_secret=a&sid=s%26id"),
        ("https://good.example/#/register?", "#/register?sid=s%26id"),
        ("https://good.example/#/register", "#/register?sid=s%26id"),
        ("https://good.example/#!/register", "#!/register?sid=s%26id"),
        ("element://open#/register?a=b", "#/register?a=b&sid=s%26id"),
    ],
)
def test_an_app_that_routes_by_the_fragment_finds_the_sid_there(link: str, expected: str) -> None:
    """Synapse and Sydent append the sid to the whole text, so such apps look for it behind the `#`."""
    sent_on = target(WEB, link, "s&id")
    assert sent_on is not None
    assert sent_on.startswith(link[: link.index("#")])
    assert sent_on.endswith(expected)


def test_parameters_of_a_listed_place_stay_as_they_are() -> None:
    link = "https://good.example/?flag&name=a%20b&list=1;2&empty="
    assert target(WEB, link, "1") == f"{link}&sid=1"


def test_after_the_button_the_person_is_sent_on_or_shown_where(database_url: str, tmp_path: object) -> None:
    from pathlib import Path

    with World(database_url, Path(str(tmp_path)), web__next_link_hosts=["good.example"]) as world:
        identity = world.identity_token(world.register())
        path = "/_matrix/identity/v2/validate/email/requestToken"

        def ask(next_link: str, secret: str) -> str:
            body = {
                "client_secret": secret,
                "email": f"{secret}@example.com",
                "send_attempt": 1,
                "next_link": next_link,
            }
            assert world.post(path, body, token=identity).status_code == 200
            world.clock.advance(1)
            return world.mail().link

        sent_on = world.post(ask("https://good.example/done", "one"))
        assert sent_on.status_code == 303
        assert sent_on.headers["Location"].startswith("https://good.example/done?sid=")
        shown = world.post(ask("https://evil.example/<script>", "two"))
        assert shown.status_code == 200
        assert "https://evil.example/&lt;script&gt;" in shown.text
        assert "Location" not in shown.headers


def test_the_specifications_get_submits_at_once_with_a_token_only(world: World) -> None:
    identity = world.identity_token(world.register())
    sid = world.request_token(identity)
    query = f"sid={sid}&client_secret=secret&token={world.mail().code}"
    path = f"/_matrix/identity/v2/validate/email/submitToken?{query}"
    assert world.get(path).status_code == 401
    wrong = world.get(path.replace(world.mail().code, "000000"), token=identity, headers={"Accept": "text/html"})
    assert wrong.status_code == 400
    assert wrong.headers["Content-Type"].startswith("text/html")
    assert world.get(path, token=identity).status_code == 200
    assert world.get(f"/_matrix/identity/v2/validate/email/submitToken?sid={sid}", token=identity).status_code == 400
    check = f"/_matrix/identity/v2/3pid/getValidated3pid?sid={sid}&client_secret=secret"
    assert world.get(check, token=identity).status_code == 200
