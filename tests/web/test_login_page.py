"""The login fallback, as far as it can be seen without a browser: tests/browser has the rest."""

from web.visitor import Page
from world import BASE, World

PATH = "/_matrix/static/client/login/"


def test_the_script_sends_the_login_and_the_form_never_does(world: World) -> None:
    page = Page(world.get(PATH))
    assert page.status == 200
    assert page.heading == "Sign in to example.org"
    assert page.scripts == ["/static/login.js", "/static/show_password.js"]
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"] == policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["frame-src"] == "js:"
    assert policy["form-action"] == f"{BASE}/language"
    assert "needs JavaScript" in page.text
    assert world.post(PATH, "user=alice&password=x").status_code == 405


def test_the_path_may_lack_its_last_slash(world: World) -> None:
    """Then the page is the same, and so is what its script reads of the query."""
    query = "?device_id=ABC"
    whole, cut = Page(world.get(f"{PATH}{query}")), Page(world.get(f"{PATH.rstrip('/')}{query}"))
    assert (cut.status, cut.heading, cut.scripts) == (200, whole.heading, whole.scripts)


def test_the_fields_are_what_password_managers_look_for(world: World) -> None:
    fields = Page(world.get(PATH)).attributes
    assert fields["user"]["autocomplete"] == "username"
    assert fields["password"]["autocomplete"] == "current-password"
    assert fields["password"]["type"] == "password"


def test_the_query_reaches_the_script_only(world: World) -> None:
    query = "?device_id=ABC&initial_device_display_name=<b>"
    with_query, without = Page(world.get(PATH + query)), Page(world.get(PATH))
    assert (with_query.text, with_query.fields, with_query.structure) == (
        without.text,
        without.fields,
        without.structure,
    )
