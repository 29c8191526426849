"""F09: a text that a gateway may have sent is sent by nobody again: not by this gateway, not by the next, not later."""

import asyncio
import re
from typing import Any

import pytest

from sms_gateway import CUT, DRIP, HANG, HANG_UP, Gateway, texting, unreachable
from threepid.clock import HOUR, MINUTE
from threepid.delivery.worker import Worker

GERMAN = "+4915112345678"
DOUBT = "it may have been sent, so it is not tried again"
METHODS: list[dict[str, Any]] = [
    {},
    {"method": "PUT"},
    {"method": "GET", "body": "", "path": "?to={to}&text={text}"},
]
"""GET and PUT are what HTTP libraries like to repeat by themselves."""


def named(settings: dict[str, Any]) -> str:
    return str(settings.get("method", "POST"))


@pytest.mark.parametrize("settings", METHODS, ids=named)
@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (HANG, "TimeoutError"),
        (DRIP, "TimeoutError"),
        (CUT, "ServerDisconnectedError"),
        (HANG_UP, "(ServerDisconnectedError|ClientOSError|ClientConnectionResetError)"),
        ("nonsense", "ClientResponseError"),
        ("500 Oops", "answered 500"),
        ("502 Bad Gateway", "answered 502"),
        ("503 Service Unavailable", "answered 503"),
        ("504 Gateway Timeout", "answered 504"),
    ],
)
def test_a_gateway_that_took_the_request_and_did_not_say_no_is_asked_once(
    database_url: str, answer: str, cause: str, settings: dict[str, Any]
) -> None:
    async def run() -> None:
        async with Gateway(answer) as first, Gateway() as second:
            url = first.transport().url + settings.get("path", "")
            changes = {name: value for name, value in settings.items() if name != "path"}
            way = first.transport(**changes, url=url, **({"timeout": 1.0} if answer in (HANG, DRIP) else {}))
            async with texting(database_url, way, second.transport()) as office:
                order_id = await office.order(GERMAN, channel="sms", life=HOUR)
                await office.worker.run_once()
                first.answer = "200 OK"
                for _ in range(5):
                    office.clock.advance(10 * MINUTE)
                    await office.worker.run_once()
                row = await office.row(order_id)
            assert (row.sent_at, row.params) == (None, "")
            assert row.failed_at is not None
            assert row.last_error is not None
            assert re.fullmatch(f"{first.name}: {cause}: {DOUBT}", row.last_error)
            assert (first.connections, second.connections) == (1, 0)
            assert (office.worker.failed, office.worker.retried) == (1, 0)

    asyncio.run(run())


def test_a_gateway_that_could_not_be_reached_is_asked_again(database_url: str) -> None:
    async def run() -> None:
        async with texting(database_url, unreachable()) as office:
            order_id = await office.order(GERMAN, channel="sms", life=HOUR)
            await office.worker.run_once()
            row = await office.row(order_id)
            assert row.failed_at is None
            assert str(row.last_error).endswith("ConnectionRefusedError")

    asyncio.run(run())


def test_a_message_that_ends_while_a_gateway_thinks_is_given_up_as_a_doubt(database_url: str) -> None:
    async def run() -> None:
        async with Gateway(HANG) as gateway, texting(database_url, gateway.transport(timeout=60.0)) as office:
            order_id = await office.order(GERMAN, channel="sms", life=1500)
            await office.worker.run_once()
            row = await office.row(order_id)
            assert row.last_error == f"{gateway.name}: broken off: {DOUBT}"
            assert row.failed_at is not None

    asyncio.run(run())


def test_a_server_that_stops_while_a_gateway_thinks_gives_the_text_up_as_a_doubt(database_url: str) -> None:
    async def run() -> None:
        async with Gateway(HANG) as gateway, texting(database_url, gateway.transport(timeout=60.0)) as office:
            order_id = await office.order(GERMAN, channel="sms")
            worker = Worker(office.database, office.clock, office.job_types, stop_seconds=0.05)
            stop = asyncio.Event()
            running = asyncio.create_task(worker.run(stop))
            async with asyncio.timeout(30):
                while not gateway.asked:
                    await asyncio.sleep(0.005)
                stop.set()
                worker.wake()
                await running
            row = await office.row(order_id)
            assert row.last_error == f"{gateway.name}: broken off: {DOUBT}"
            gateway.answer = "200 OK"
            office.clock.advance(30 * MINUTE)
            await office.worker.run_once()
            assert len(gateway.asked) == 1

    asyncio.run(run())


def test_a_text_that_a_gateway_took_is_sent_though_the_code_ends_at_that_moment(database_url: str) -> None:
    async def run() -> None:
        async with Gateway() as gateway, texting(database_url, gateway.transport()) as office:
            order_id = await office.order(GERMAN, channel="sms", life=5000)
            office.clock.advance(4000)
            await office.worker.run_once()
            assert (await office.row(order_id)).sent_at == office.clock.now()

    asyncio.run(run())
