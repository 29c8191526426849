"""A132: what strangers and relays say stays text in the console, and a query asks for no page without end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from operators import world_of_operators
from threepid.clock import HOUR, MINUTE
from threepid.storage import outbox
from web.console_pages import GETS, POSTS, operator_browser
from web.portal_browser import Browser
from web.test_every_page import HOSTILE, check_headers
from world import World

BAD = ("<script>alert", "<img src=x", "<svg", "onerror=alert(1)>", "<iframe", "<b>")
QUERY = ("next", "q", "after", "user", "address", "event", "before", "failed", "done")
ADDRESS = "alice@example.com"
AGENT = {"User-Agent": "<script>alert(1)</script>"}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        token = made.register()
        made.add(token, made.validated(made.identity_token(token)))
        device = made.get("/_matrix/client/v3/account/whoami", token=token, headers=AGENT).json()["device_id"]
        name = {"display_name": HOSTILE[1]}
        assert made.call("PUT", f"/_matrix/client/v3/devices/{device}", name, token=token).status_code == 200
        for text in HOSTILE:
            refused(made, text)
        yield made


def refused(world: World, text: str) -> None:
    """A mail to Alice that a relay has answered with `text`, and one that came back with it."""
    now = world.clock.now()
    ids = [world.entropy.id(now) for _ in range(2)]

    def step(tx: Any) -> None:
        for order_id in ids:
            outbox.insert(
                tx,
                job_id=order_id,
                channel="email",
                recipient=ADDRESS,
                language="en",
                template="validation",
                params="x",
                created_at=now,
                due_at=now,
                expires_at=now + HOUR,
                destination=f"email:{text}",
            )
        first, second = sorted(outbox.claim(tx, ids, worker="w", now=now), key=lambda one: one.id)
        outbox.retry_later(tx, first, now=now, due_at=now + MINUTE, last_error=text)
        outbox.sent(tx, second.id, now)
        outbox.returned(tx, second.id, status=text, now=now)

    world.run(world.database.write(step))


@pytest.fixture
def desk(world: World) -> Browser:
    return operator_browser(world)


def harmless(browser: Browser) -> None:
    for bad in BAD:
        assert bad not in browser.page.html, browser.path
    if browser.page.html:
        check_headers(browser.path.partition("?")[0], browser.page)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_query_becomes_part_of_a_page(desk: Browser, text: str) -> None:
    for page in GETS:
        for query in (
            "&".join(f"{name}={Browser.escaped(text)}" for name in QUERY),
            f"q={Browser.escaped(text)}",
            f"user={Browser.escaped(text)}",
        ):
            desk.open(f"{page.path}?{query}")
            assert desk.page.status < 500
            harmless(desk)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_field_becomes_part_of_a_page(desk: Browser, text: str) -> None:
    for page in POSTS:
        if "sign-out" in page.path:
            continue
        desk.open("/admin/")
        names = [field.encode_name for field in msgspec.structs.fields(page.form_type)] if page.form_type else ["any"]
        token = desk.page.fields["form_token"]
        for fields in (dict.fromkeys(names, text), {**dict.fromkeys(names, text), "user": "bob"}):
            desk.submit({**fields, "form_token": token}, page.path)
            assert desk.page.status < 500
            harmless(desk)


def test_devices_and_answers_of_relays_are_shown_as_text(world: World, desk: Browser) -> None:
    for text in HOSTILE:
        world.clock.advance(1)  # the page has the newest messages alone
        refused(world, text)
        desk.open("/admin/account?user=alice")
        assert " ".join(text.split()) in desk.page.text
    assert HOSTILE[1] in desk.page.strong
    harmless(desk)
    desk.open("/admin/queue")
    for text in HOSTILE:
        assert " ".join(text.split()) in desk.page.text
    harmless(desk)


@pytest.mark.parametrize(
    "query",
    [
        "q=" + "a" * 5_000,
        "after=" + "a" * 5_000,
        "user=" + "%40" + "a" * 5_000,
        "before=" + "a" * 5_000,
        "q=%00",
        "user=%00",
        "after=%00",
        "before=%00",
        "limit=100000",
        "q=a&q=b",
        "user=%ED%A0%80",
        "q=%ED%A0%80",
        "q=%25%25%25",
    ],
)
def test_a_strange_query_is_answered(desk: Browser, query: str) -> None:
    for page in GETS:
        desk.open(f"{page.path}?{query}")
        assert desk.page.status in (200, 400, 404), (page, query)


def test_no_page_lists_more_than_its_number_of_rows(world: World, desk: Browser) -> None:
    for number in range(120):
        world.register(f"user{number:03}")
    for query in ("", "?limit=1000", "?count=1000&q=user"):
        desk.open(f"/admin/{query}")
        assert len(desk.page.strong) == 50
    desk.open("/admin/audit?limit=1000")
    assert len(desk.page.strong) == 50
