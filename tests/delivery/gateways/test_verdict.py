"""What an answer of an SMS gateway says: yes, no, or nothing that is certain. Only a no lets the next gateway send."""

import asyncio
import gzip
from typing import Any

import pytest

from sms_gateway import ENDLESS, Gateway, texting

GERMAN = "+4915112345678"
DOUBT = "it may have been sent, so it is not tried again"
SENT = '{"messages": [{"status": "0", "n": 1.5, "ok": true, "a/b": {"~": "x"}}], "count": 1}'


async def outcome(database_url: str, first: Gateway, **settings: Any) -> tuple[str | None, int]:
    """The error of one SMS over two gateways, and how many SMS the second one got."""
    async with (
        first,
        Gateway() as second,
        texting(database_url, first.transport(**settings), second.transport()) as office,
    ):
        order_id = await office.order(GERMAN, channel="sms")
        await office.worker.run_once()
        row = await office.row(order_id)
        assert len(first.asked) == 1
        assert (row.sent_at is None) == (row.last_error is not None)
        return row.last_error and row.last_error.removeprefix(f"{first.name}: "), len(second.asked)


@pytest.mark.parametrize(
    "settings",
    [
        {"accepted_status": (200, 202)},
        {"accepted_json": {"/messages/0/status": "0"}},
        {"accepted_json": {"/messages/0/status": 0, "/count": "1"}},
        {"accepted_json": {"/messages/0/status": ("9", 0)}},
        {"accepted_json": {"/messages/0/ok": True, "/messages/0/n": "1.5"}},
        {"accepted_json": {"/messages/0/a~1b/~0": "x"}},
        {"accepted_text": '"status": "0"'},
        {"accepted_status": (200,), "accepted_json": {"/count": 1}, "accepted_text": "messages"},
    ],
)
def test_an_answer_that_meets_the_condition_is_a_yes(database_url: str, settings: dict[str, Any]) -> None:
    assert asyncio.run(outcome(database_url, Gateway(body=SENT), **settings)) == (None, 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"accepted_status": (202,)},
        {"accepted_json": {"/messages/0/status": "1"}},
        {"accepted_json": {"/messages/0/status": ("1", 2, False)}},
        {"accepted_json": {"/messages/1/status": "0"}},
        {"accepted_json": {"/messages/-1/status": "0"}},
        {"accepted_json": {"/messages/status": "0"}},
        {"accepted_json": {"/messages/0/status/0": "0"}},
        {"accepted_json": {"/messages": "0"}},
        {"accepted_json": {"/messages/0/ok": 1}},
        {"accepted_json": {"/count": True}},
        {"accepted_json": {"/count": 1, "/error": ""}},
        {"accepted_text": "ACCEPTED"},
    ],
)
def test_an_answer_that_does_not_is_a_no_and_the_next_gateway_sends(
    database_url: str, settings: dict[str, Any]
) -> None:
    assert asyncio.run(outcome(database_url, Gateway(body=SENT), **settings)) == (None, 1)


def test_a_no_of_all_gateways_says_what_was_missing(database_url: str) -> None:
    async def run() -> None:
        async with (
            Gateway("202 Accepted", body='{"status": "+4915112345678"}') as first,
            Gateway(body="ERR") as second,
            Gateway() as third,
        ):
            ways = [
                first.transport(accepted_json={"/status": "sent"}),
                second.transport(accepted_text="OK"),
                third.transport(accepted_status=(202,)),
            ]
            async with texting(database_url, *ways) as office:
                order_id = await office.order(GERMAN, channel="sms")
                await office.worker.run_once()
                row = await office.row(order_id)
                assert row.failed_at is not None
                assert row.last_error == (
                    f"{first.name}: answered 202 with another /status than expected; "
                    f"{second.name}: answered 200 without the expected text; {third.name}: answered 200"
                )
                tally = office.worker.tally
                assert tally.failures == {("msisdn", one.name, "rejected"): 1 for one in (first, second, third)}
                assert tally.failed == {("msisdn", third.name, "rejected"): 1}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("gateway", "settings", "cause"),
    [
        (Gateway, {"accepted_json": {"/a": "b"}}, "answered 200 without valid JSON"),
        (
            lambda: Gateway(body="<html>bad gateway</html>"),
            {"accepted_json": {"/a": "b"}},
            "answered 200 without valid JSON",
        ),
        (
            lambda: Gateway(body=b'{"a": "\xff"}'),
            {"accepted_json": {"/a": "b"}},
            "answered 200 without valid JSON",
        ),
        (
            lambda: Gateway(body="[" * 60_000),
            {"accepted_json": {"/0": "b"}},
            "answered 200 without valid JSON",
        ),
        (
            lambda: Gateway(body='{"a": "b"}' + " " * 70_000),
            {"accepted_json": {"/a": "b"}},
            "answered 200 without valid JSON",
        ),
        (lambda: Gateway(ENDLESS), {"accepted_text": "OK"}, "answered 200 with more than 65536 bytes"),
        (lambda: Gateway("200 OK\r\nContent-Length: 9", body="{}"), {"accepted_text": "OK"}, "TimeoutError"),
        (
            lambda: Gateway("200 OK\r\nContent-Encoding: gzip", body=gzip.compress(b"OK")),
            {"accepted_text": "OK"},
            "answered 200 in an encoding that was not asked for",
        ),
        (lambda: Gateway("503 No", body="OK"), {"accepted_text": "OK"}, "answered 503"),
    ],
)
def test_an_answer_that_cannot_be_judged_is_in_doubt(
    database_url: str, gateway: Any, settings: dict[str, Any], cause: str
) -> None:
    assert asyncio.run(
        outcome(database_url, gateway(), timeout=1.0 if cause == "TimeoutError" else 20.0, **settings)
    ) == (f"{cause}: {DOUBT}", 0)


def test_a_text_at_the_beginning_of_an_endless_answer_is_a_yes(database_url: str) -> None:
    assert asyncio.run(outcome(database_url, Gateway(ENDLESS), accepted_text="xxx")) == (None, 0)


@pytest.mark.parametrize(
    ("first", "cause", "others"),
    [
        (lambda: Gateway(body="NO"), "rejected", 1),
        (lambda: Gateway("429 Wait"), "deferred", 1),
        (lambda: Gateway("503 No"), "doubt", 0),
    ],
)
def test_metrics_name_the_gateway_and_the_cause(database_url: str, first: Any, cause: str, others: int) -> None:
    async def run() -> None:
        async with (
            first() as one,
            Gateway() as two,
            texting(database_url, one.transport(accepted_text="OK"), two.transport()) as office,
        ):
            await office.order(GERMAN, channel="sms")
            await office.worker.run_once()
            tally = office.worker.tally
            assert tally.failures == {("msisdn", one.name, cause): 1}
            assert tally.sent == ({("msisdn", two.name): 1} if others else {})
            assert tally.failed == ({} if others else {("msisdn", one.name, cause): 1})

    asyncio.run(run())
