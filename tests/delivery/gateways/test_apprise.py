"""SMS through Apprise: what each vendor gets, what a no means, and what stays out of logs."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import structlog

from sms_gateway import Gateway, texting
from sms_vendors import HANG, Vendors
from threepid.clock import HOUR, MINUTE
from threepid.config import AppriseTransport, ConfigError
from threepid.config.sections.apprise import SERVICES
from threepid.delivery.errors import DeliveryError
from threepid.delivery.gateways import apprise as gateways
from threepid.delivery.gateways.apprise import AppriseGateway

GERMAN = "+4915112345678"
TEXT = 'example.org: 042917 ist dein Code für "a & b" {x} [y] €\n\n@matrix.example.org #042917'
A, B = "a" * 32, "b" * 32
DOUBT = "it may have been sent, so it is not tried again"
VENDORS = {
    "46elks": ("46elks://user:password@15551234567/{to}", "api.46elks.com"),
    "atalk": (f"atalk://user@{A}{A}/{{to}}", "api.africastalking.com"),
    "bulksms": ("bulksms://id:secret@{to}", "api.bulksms.com"),
    "bulkvs": ("bulkvs://user:password@15551234567/{to}", "portal.bulkvs.com"),
    "burstsms": (f"burstsms://{A}:{B}@15551234567/{{to}}", "api.transmitsms.com"),
    "clickatell": ("clickatell://apikey/{to}", "platform.clickatell.com"),
    "clicksend": ("clicksend://user:apikey@{to}", "rest.clicksend.com"),
    "cm": ("cm://Example@aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa/{to}", "gw.messaging.cm.com"),
    "d7sms": ("d7sms://token@{to}", "api.d7networks.com"),
    "eight00com": ("eight00com://token@18005551234/{to}", "api.800.com"),
    "exotel": ("exotel://sid:token@15551234567/{to}", "api.exotel.com"),
    "httpsms": ("httpsms://apikey@15551234567/{to}", "api.httpsms.com"),
    "infobip": ("infobip://apikey@abc.api.infobip.com/{to}", "abc.api.infobip.com"),
    "kaleyra": ("kaleyra://sid:apikey@sender/{to}", "api.kaleyra.io"),
    "kudosity": (f"kudosity://{A}:{B}@15551234567/{{to}}", "api.transmitsms.com"),
    "msgbird": (f"msgbird://{A[:25]}/15551234567/{{to}}", "rest.messagebird.com"),
    "notifyre": ("notifyre://apikey/{to}", "api.notifyre.com"),
    "octopush": ("octopush://login@example.org/apikey/{to}", "api.octopush.com"),
    "serwersms": ("serwersms://user:password@Example/{to}", "api2.serwersms.pl"),
    "seven": ("seven://apikey/{to}", "gateway.seven.io"),
    "sinch": (f"sinch://{A}:{B}@15551234567/{{to}}", "us.sms.api.sinch.com"),
    "smsc": ("smsc://user:password@{to}", "smsc.ru"),
    "smseagles": ("smseagles://token@eagle.example/{to}", "eagle.example"),
    "smsmanager": ("smsmanager://apikey@{to}", "http-api.smsmanager.cz"),
    "smstunnel": ("smstunnel://apikey/{to}", "smstunnel.io"),
    "sns": (f"sns://{A[:20].upper()}/{B}{B[:8]}/us-east-2/{{to}}", "sns.us-east-2.amazonaws.com"),
    "telesign": ("telesign://A1B2C3D4-0000-1111-2222-333344445555:apikey@{to}", "rest-ww.telesign.com"),
    "telnyx": ("telnyx://apikey@15551234567/{to}", "api.telnyx.com"),
    "twilio": (f"twilio://AC{A}:{B}@15551234567/{{to}}", "api.twilio.com"),
}
YES = {
    "octopush": ("201 Created", "{}"),
    "serwersms": ("200 OK", '{"success": true}'),
    "smseagles": ("200 OK", '{"result": {"message_id": "1", "status": "ok"}}'),
}
"""Answers that accept the SMS, for vendors that do not simply answer 200."""


def transport(tmp_path: Path, url: str, timeout: float = 15.0) -> AppriseTransport:
    file = tmp_path / "vendor.url"
    file.write_text(url + "\n", encoding="utf-8")
    file.chmod(0o600)
    return AppriseTransport(url_file=str(file), timeout=timeout)


def values(text: str) -> list[str]:
    """Every text in a body or a query, decoded."""
    try:
        value = json.loads(text)
    except ValueError:
        return [value for _, value in parse_qsl(text)]
    found: list[str] = []

    def walk(one: object) -> None:
        if isinstance(one, dict | list):
            for member in one.values() if isinstance(one, dict) else one:
                walk(member)
        else:
            found.append(str(one))

    walk(value)
    return found


def test_every_service_is_tried_here() -> None:
    assert sorted(VENDORS) == sorted(SERVICES)


@pytest.mark.parametrize("service", VENDORS)
def test_a_vendor_gets_one_request_with_the_text_and_the_number(tmp_path: Path, service: str) -> None:
    url, host = VENDORS[service]

    async def run() -> None:
        async with Vendors(*YES.get(service, ("200 OK", "{}"))) as vendors:
            with vendors.on_the_way(tmp_path):
                await AppriseGateway(transport(tmp_path, url)).send(GERMAN, TEXT)
            (seen,) = vendors.seen
            assert seen.host == host
            given = values(seen.body) + values(urlsplit(seen.target).query)
            assert TEXT in given
            assert GERMAN.removeprefix("+") in {re.sub(r"\D|^00", "", value) for value in given}

    asyncio.run(run())


@pytest.mark.parametrize("service", VENDORS)
@pytest.mark.parametrize(
    "status", ["400 Bad Request", "500 Oops", "307 Temporary Redirect\r\nLocation: https://a.example/"]
)
def test_a_no_is_in_doubt_and_nobody_sends_again(database_url: str, tmp_path: Path, service: str, status: str) -> None:
    way = transport(tmp_path, VENDORS[service][0])

    async def run() -> None:
        async with Vendors(status) as vendors, Gateway() as second:
            with vendors.on_the_way(tmp_path):
                async with texting(database_url, way, second.transport()) as office:
                    order_id = await office.order(GERMAN, channel="sms", life=HOUR)
                    for _ in range(3):
                        await office.worker.run_once()
                        office.clock.advance(10 * MINUTE)
                    row = await office.row(order_id)
            assert row.failed_at is not None
            assert row.last_error == f"apprise vendor.url: answered no, or not at all: {DOUBT}"
            assert (len(vendors.seen), second.connections) == (1, 0)

    asyncio.run(run())


def test_a_vendor_that_does_not_answer_is_left_after_the_timeout(database_url: str, tmp_path: Path) -> None:
    way = transport(tmp_path, VENDORS["seven"][0], timeout=0.5)

    async def run() -> None:
        async with Vendors(HANG) as vendors, Gateway() as second:
            with vendors.on_the_way(tmp_path):
                async with texting(database_url, way, second.transport()) as office:
                    order_id = await office.order(GERMAN, channel="sms")
                    await office.worker.run_once()
                    row = await office.row(order_id)
            assert row.failed_at is not None
            assert DOUBT in str(row.last_error)
            assert second.connections == 0

    asyncio.run(run())


def test_a_vendor_with_a_strangers_certificate_is_told_nothing(database_url: str, tmp_path: Path) -> None:
    way = transport(tmp_path, VENDORS["seven"][0])

    async def run() -> None:
        async with Vendors(trusted=False) as vendors:
            with vendors.on_the_way(tmp_path):
                async with texting(database_url, way) as office:
                    await office.order(GERMAN, channel="sms")
                    await office.worker.run_once()
            assert vendors.connects
            assert vendors.seen == []

    asyncio.run(run())


def test_threads_that_wait_without_end_do_not_become_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = transport(tmp_path, VENDORS["seven"][0], timeout=5.0)

    async def run() -> None:
        async with Vendors(HANG) as vendors:
            with vendors.on_the_way(tmp_path):
                gateway = AppriseGateway(way)
                waiting = [asyncio.create_task(gateway.send(GERMAN, TEXT)) for _ in range(gateways.AT_ONCE)]
                async with asyncio.timeout(20):
                    while len(vendors.seen) < gateways.AT_ONCE:
                        await asyncio.sleep(0.01)
                with pytest.raises(DeliveryError, match="too many deliveries") as caught:
                    await gateway.send(GERMAN, TEXT)
                assert caught.value.retry
                for task in waiting:
                    task.cancel()
                results = await asyncio.gather(*waiting, return_exceptions=True)
                assert {str(result) for result in results} == {f"broken off: {DOUBT}"}

    asyncio.run(run())


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", HANG])
def test_a_log_knows_neither_credentials_nor_number_nor_code(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, status: str
) -> None:
    way = transport(tmp_path, "seven://canarykey/{to}", timeout=1.0)

    async def run() -> str | None:
        async with Vendors(status) as vendors:
            with vendors.on_the_way(tmp_path):
                async with texting(database_url, way) as office:
                    order_id = await office.order(GERMAN, channel="sms")
                    await office.worker.run_once()
                    return (await office.row(order_id)).last_error

    with caplog.at_level(1), structlog.testing.capture_logs() as logs:
        error = asyncio.run(run())
    told = f"{logs} {error} {capsys.readouterr()} {[r.getMessage() for r in caplog.records if r.name != 'asyncio']}"
    assert len(logs) == 1
    for secret in ("canary", "042917", GERMAN, "15112345678", "seven"):
        assert secret not in told


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "mailto://canary:password@example.org/{to}",
            "names no SMS service that can be used: its URL begins with one of 46elks, atalk",
        ),
        ("smseagle://canary@eagle.example/{to}", "names no SMS service"),
        ("https://canary.example/{to}", "names no SMS service"),
        ("canary", "names no SMS service"),
        ("seven://canary/", "has no {to} or {digits}"),
        ("seven://canary/{to}\nseven://canary/{to}", "holds something else than one URL"),
        ("seven://canary/{to}?verify=no", "sets verify, which only the server sets"),
        ("seven://canary/{to}?x=1&Retry=3&RTO=9", "sets retry, rto, which only the server sets"),
        ("seven://canary/{to}/+4915112345679", "is not a URL that Apprise can use for one number"),
        ("twilio://canary:short@15551234567/{to}", "is not a URL that Apprise can use for one number"),
    ],
)
def test_an_unusable_url_is_refused_at_the_start_and_not_repeated(tmp_path: Path, url: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AppriseGateway(transport(tmp_path, url))
    assert str(caught.value).startswith(f"{tmp_path}/vendor.url: {why}")
    assert "canary" not in str(caught.value)


def test_apprise_is_imported_only_where_it_is_configured() -> None:
    code = "import sys, threepid.app, threepid.delivery.configured; print('apprise' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
