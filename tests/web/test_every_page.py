"""What holds for all pages: their headers, and that nothing which strangers say becomes part of one."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import jinja2
import pytest

from captcha_provider import CaptchaProvider
from threepid.delivery import configured
from threepid.i18n.templates import translate
from threepid.web import site
from threepid.web.render import Templates
from web.visitor import Page, Visitor, begin
from world import BASE, PASSWORD, World

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</title><svg/onload=alert(1)>",
    "</main><iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "&lt;script&gt;&#60;script&#62;",
    "\u202e\u2066<b>\ufeff\u2028</b>",
    "--><style>*{display:none}</style><!--",
]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def everything(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A server with all pages turned on."""
    with (
        CaptchaProvider(tmp_path) as provider,
        World(
            database_url,
            tmp_path,
            sms__countries=["GB"],
            identity__v1__validate=True,
            accounts__captcha=provider.settings,
            outbound=provider.outbound,
        ) as world,
    ):
        yield world


def check_headers(path: str, page: Page) -> None:
    framed = path.endswith("/html") and page.status == 200  # the mail in a frame on the mailbox's own page
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy, path
    assert ("frame-ancestors 'self'" if framed else "frame-ancestors 'none'") in policy, path
    assert framed or "unsafe" not in policy, path
    assert page.headers["X-Frame-Options"] == ("SAMEORIGIN" if framed else "DENY"), path
    assert page.headers["X-Content-Type-Options"] == "nosniff", path
    # With `no-referrer`, browsers send `Origin: null` with every form, and the check of the Origin would say nothing.
    of_portal = path.startswith(("/account/", "/reset/", "/admin/"))
    assert page.headers["Referrer-Policy"] in ("no-referrer", *(["same-origin"] if of_portal else [])), path
    assert page.headers["Cache-Control"] == "no-store", path
    assert "Access-Control-Allow-Origin" not in page.headers, path
    if page.scripts:
        assert "script-src" in policy, path
    assert all(page.scripts), f"{path} has an inline script"
    if not framed:
        tags = {tag for tag, _ in page.structure}
        attributes = {name for _, names in page.structure for name in names}
        assert not tags & {"style", "base"}, path
        assert not [name for name in attributes if name.startswith("on") or name == "style"], path


def test_every_route_and_each_of_its_errors_has_the_headers(everything: World) -> None:
    world = everything
    routes = [
        route
        for route in site.routes(
            world.server.services,
            Templates(world.server.context.config, "x"),
            configured.previews_of(world.server.context.config),
        )
        if not route.template.startswith("/static/")
    ]
    assert len(routes) > 10
    for route in routes:
        path = re.sub(r"\{\w+\}", "nothing", route.template)
        for method in ("GET", "POST", "HEAD"):
            headers = {**FORM, "Accept": "text/html"}
            answer = world.call(method, path, "a=b" if method == "POST" else None, headers=headers)
            if method in route.handlers:
                led_on = answer.status_code == 303 and not answer.content
                assert led_on or answer.headers["Content-Type"].startswith("text/html"), path
                check_headers(path, Page(answer))
    for path in ("/", "/nothing", "/confirm/", "/static/nothing.css", "/mailbox/none/raw"):
        check_headers(path, Page(world.get(path)))
        check_headers(path, Page(world.post(path)))


def test_the_pages_that_are_reached_by_acting_have_the_headers(everything: World) -> None:
    world = everything
    session = begin(world)["session"]
    for stage in ("m.login.recaptcha", "m.login.email.identity"):
        visitor = Visitor.at_stage(world, stage, session)
        check_headers(visitor.path, visitor.page)
        check_headers(visitor.path, visitor.send({}))
    with_account = Visitor.at_stage(world, "m.login.password", "unknown")
    check_headers(with_account.path, with_account.page)


def test_mails_and_links_have_the_headers(world: World) -> None:
    world.request_token(world.identity_token(world.register()))
    link = world.mail().link
    mail = "/mailbox/" + world.get("/mailbox/").text.partition('href="/mailbox/')[2].partition('"')[0]
    for path in (link, "/mailbox/", mail, f"{mail}/html"):
        check_headers(path, Page(world.get(path)))
    check_headers(link, Page(world.post(link)))
    raw = world.get(f"{mail}/raw").headers
    assert raw["Content-Type"].startswith("text/plain")
    assert raw["X-Content-Type-Options"] == "nosniff"
    assert world.get("/static/threepid.css").headers["Content-Type"].startswith("text/css")


def pages_with(world: World, text: str) -> list[tuple[str, Page]]:
    """The pages with `text` in everything that a stranger can put into them."""
    found = []

    def visit(name: str, visitor: Visitor, fields: dict[str, str] | None = None) -> None:
        if fields is not None:
            visitor.send(fields)
        found.append((name, visitor.page))

    def at(stage: str) -> Visitor:
        return Visitor.at_stage(world, stage, begin(world, body={"username": "bob"})["session"])

    visit("stage", at(text))
    visit("session", Visitor.at_stage(world, "m.login.dummy", text))
    email, phone = at("m.login.email.identity"), at("m.login.msisdn")
    visit("language", Visitor(world, email.path, **{"Accept-Language": text.encode("ascii", "ignore").decode()}))
    visit("address", email, {"action": "send", "address": text})
    visit("sent", email, dict.fromkeys(("action", "sent_to", "sid", "client_secret", "attempt", "code"), text))
    visit("code", email, {"action": "code", "sent_to": text, "sid": text, "client_secret": text, "code": text})
    visit("again", email, {"action": "again", "sent_to": text, "sid": text, "client_secret": text, "attempt": text})
    visit("number", phone, {"action": "send", "address": text, "country": text})
    visit("answer", at("m.login.dummy"), {text: text})
    visit("link", Visitor(world, "/confirm/" + Visitor.escaped(text)))
    visit("mail", Visitor(world, "/mailbox/" + Visitor.escaped(text)))
    visit("nothing", Visitor(world, "/" + Visitor.escaped(text)))
    visit("login", Visitor(world, "/_matrix/static/client/login/?device_id=" + Visitor.escaped(text)))
    return found


def test_what_strangers_say_stays_text(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        harmless = pages_with(world, "harm less")
        for text in HOSTILE:
            for (name, plain), (_, page) in zip(harmless, pages_with(world, text), strict=True):
                assert (page.status, page.structure) == (plain.status, plain.structure), (name, text)
                check_headers(name, page)
                assert "<script>alert" not in page.html, (name, text)


def test_what_is_shown_back_is_shown_as_it_was_typed(world: World) -> None:
    visitor = Visitor.at_stage(world, "m.login.email.identity", begin(world, body={"username": "bob"})["session"])
    for text in HOSTILE:
        assert visitor.send({"action": "send", "address": text}).fields["address"] == text.strip()
        back = visitor.send({"action": "code", "sent_to": text, "sid": "x", "client_secret": "y"})
        assert back.fields["address"] == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_of_the_server_cannot_break_a_page(database_url: str, tmp_path: Path, text: str) -> None:
    with World(database_url, tmp_path, web__brand_name=text) as world:
        page = Visitor.at_stage(world, "m.login.dummy", begin(world)["session"]).page
        assert page.scripts == ["/static/once.js"]
        check_headers("dummy", page)


def test_a_place_to_go_on_to_is_shown_as_text(world: World) -> None:
    identity = world.identity_token(world.register())
    for number, text in enumerate(HOSTILE):
        body = {
            "client_secret": f"s{number}",
            "email": f"a{number}@example.com",
            "send_attempt": 1,
            "next_link": "https://evil.example/" + text,
        }
        answer = world.post("/_matrix/identity/v2/validate/email/requestToken", body, token=identity)
        if answer.status_code == 200:
            world.clock.advance(1)
            page = Page(world.post(world.mail().link))
            assert "https://evil.example/" in page.text
            assert not [tag for tag, _ in page.structure if tag in {"script", "img", "svg", "iframe", "style", "a"}]


def test_a_page_never_says_what_was_typed_as_a_password(world: World) -> None:
    token = world.register()
    session = begin(world, "/delete_devices", {"devices": []}, access_token=token)["session"]
    visitor = Visitor.at_stage(world, "m.login.password", session)
    assert PASSWORD[:-1] not in visitor.press("Continue", password=PASSWORD[:-1]).html
    assert BASE not in visitor.page.html


# -- what labels and descriptions name is there (each `Page` looks after that itself)


def test_a_reference_to_what_is_not_there_is_found() -> None:
    for html in (
        '<main><label for="x">X</label></main>',
        '<main><p id="a">A</p><input aria-describedby="a b"></main>',
        '<main><p id="a">A</p><p id="a">B</p></main>',
    ):
        with pytest.raises(AssertionError):
            Page(httpx.Response(200, text=html))
    assert Page(httpx.Response(200, text='<p id="b">B</p><label for="x">X</label><input id="x" aria-describedby="b">'))


@pytest.mark.parametrize("hint", [None, "A hint"])
@pytest.mark.parametrize("problem", [None, "A problem"])
def test_a_field_names_what_describes_it_in_every_state(hint: str | None, problem: str | None) -> None:
    environment = jinja2.Environment(loader=jinja2.PackageLoader("threepid.web"), autoescape=True)
    translate(environment, "en")
    template = environment.from_string(
        '{% import "fields.html" as fields %}{{ fields.text("a", "A", hint=hint, problem=problem) }}'
        '{{ fields.text("b", "B", type="password", hint=hint) }}{{ fields.problem(problem) }}'
    )
    page = Page(httpx.Response(200, text=template.render(hint=hint, problem=problem)))
    described = (page.attributes["a"].get("aria-describedby") or "").split()
    assert [page.texts[one] for one in described] == [one for one in (problem, hint) if one]


def test_the_pages_for_addresses_and_numbers_name_what_is_there_in_every_state(
    database_url: str, tmp_path: Path
) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        session = begin(world, body={"username": "carol", "password": PASSWORD})["session"]
        email = Visitor.at_stage(world, "m.login.email.identity", session)
        assert email.send({"action": "send", "address": "no address"}).problem
        email.send({"action": "send", "address": "carol@example.com"})
        assert email.press("Continue", code="000000").problem
        assert not email.press("Send another mail").problem
        phone = Visitor.at_stage(world, "m.login.msisdn", session)
        assert phone.send({"action": "send", "country": "GB", "address": "1"}).problem
        phone.send({"action": "send", "country": "GB", "address": "07400 123456"})
        assert phone.press("Continue", code="000000").problem
        login = Visitor(world, "/_matrix/static/client/login/").page
        assert login.attributes["user"]["aria-describedby"] == "user-hint"
        assert "aria-describedby" not in login.attributes["password"]
