"""Texts to phones: what a gateway is asked, which one it is, and what stays out of logs."""

import asyncio
import json
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import pytest
import structlog

from mail_relay import PostOffice, authority
from sms_gateway import ENDLESS, Asked, Gateway, texting, unreachable
from threepid.clock import HOUR, MINUTE, SECOND
from threepid.config import ConfigError, ConsoleTransport, HttpTransport, Sms
from threepid.delivery.errors import DeliveryError
from threepid.delivery.gateways.http import HttpGateway
from threepid.delivery.job import JobType
from threepid.delivery.sms import SmsSender
from threepid.storage.outbox import ClaimedJob

GERMAN = "+4915112345678"
FRENCH = "+33612345678"
NASTY = 'a "quoted" \\ back\nline\r & = + % # {secret} {to} <é€😀>\u2028\t\''
FORM = {"body": "to={to}&text={text}&key={secret}"}


def secret_file(tmp_path: Path, secret: str = 's3cret&key="x"\\') -> str:
    file = tmp_path / "secret"
    file.write_text(secret + "\n", encoding="utf-8")
    return str(file)


def asked_for(text: str = NASTY, **settings: Any) -> Asked:
    """What a gateway is asked for a text."""

    async def run() -> Asked:
        async with Gateway() as gateway:
            made = {**settings, "url": gateway.transport().url + settings.pop("path", "")}
            await HttpGateway(gateway.transport(**{**settings, "url": made["url"]})).send(GERMAN, text)
            (asked,) = gateway.asked
            return asked

    return asyncio.run(run())


async def tried(office: PostOffice, number: str = GERMAN) -> str | None:
    """The error of one try, after which the text is to be tried again or was given up."""
    order_id = await office.order(number, channel="sms")
    await office.worker.run_once()
    row = await office.row(order_id)
    assert (row.sent_at is not None) == (row.last_error is None)
    assert row.params == "" or row.failed_at is None
    return row.last_error


def test_a_text_goes_to_the_number_with_its_plus(database_url: str) -> None:
    async def run() -> None:
        async with Gateway() as gateway, texting(database_url, gateway.transport()) as office:
            assert await tried(office) is None
            (asked,) = gateway.asked
            assert (asked.method, asked.target) == ("POST", "/send")
            assert asked.headers["content-type"] == "application/json"
            sent = json.loads(asked.body)
            assert sent["to"] == GERMAN
            assert sent["text"].startswith("example.org: 042917 is your code to add this number")
            assert sent["text"].endswith("\n\n@matrix.example.org #042917")
            assert "cookie" not in asked.headers
            assert asked.headers["user-agent"].startswith("threepid/")

    asyncio.run(run())


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "application/json"}, {"content-type": "application/vnd.x+json; charset=utf-8"}]
)
def test_values_in_json_stay_values(tmp_path: Path, headers: dict[str, str]) -> None:
    body = '{"to": ["{to}"], "text": "<{text}>", "key{to}": "{secret}", "n": 1.50}'
    file = secret_file(tmp_path)
    asked = asked_for(headers=headers, body=body, secret_file=file)
    assert json.loads(asked.body) == {
        "to": [GERMAN],
        "text": f"<{NASTY}>",
        f"key{GERMAN}": 's3cret&key="x"\\',
        "n": 1.5,
    }
    assert asked.headers["content-type"] == next(iter(headers.values()), "application/json")


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/x-www-form-urlencoded"}])
def test_values_in_a_form_stay_values(tmp_path: Path, headers: dict[str, str]) -> None:
    asked = asked_for(headers=headers, secret_file=secret_file(tmp_path), **FORM)
    assert parse_qsl(asked.body, strict_parsing=True) == [("to", GERMAN), ("text", NASTY), ("key", 's3cret&key="x"\\')]
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


def test_values_in_a_url_stay_values(tmp_path: Path) -> None:
    path = "/{to}/..%2F?text={text}&key={secret}&a=%20b+c&digits={digits}"
    asked = asked_for(path=path, method="GET", body="", secret_file=secret_file(tmp_path))
    assert asked.method == "GET"
    assert (asked.body, asked.headers.get("content-type")) == ("", None)
    url = urlsplit(asked.target)
    assert unquote(url.path) == f"/send/{GERMAN}/../"
    assert parse_qs(url.query, strict_parsing=True) == {
        "text": [NASTY],
        "key": ['s3cret&key="x"\\'],
        "a": [" b c"],
        "digits": [GERMAN[1:]],
    }


def test_a_secret_stands_in_a_header_and_nowhere_else(tmp_path: Path) -> None:
    asked = asked_for(
        headers={"Authorization": "Basic {secret}", "X-To": "{to}", "user-agent": "ours"},
        secret_file=secret_file(tmp_path, "c2VjcmV0"),
    )
    assert asked.headers["authorization"] == "Basic c2VjcmV0"
    assert asked.headers["x-to"] == GERMAN
    assert asked.headers["user-agent"] == "ours"
    assert "c2VjcmV0" not in asked.target + asked.body


@pytest.mark.parametrize("secret", ["two\nlines", "a\rb", "schlüssel", "a\x00b"])
def test_a_secret_that_does_not_fit_into_a_header_is_refused_at_the_start(tmp_path: Path, secret: str) -> None:
    via = HttpTransport(url="https://h.example", headers={"X": "{secret}"}, secret_file=secret_file(tmp_path, secret))
    with pytest.raises(ConfigError, match="not one line of plain ASCII") as caught:
        HttpGateway(via)
    assert secret not in str(caught.value)


def test_a_secret_that_is_not_there_is_found_at_the_start(tmp_path: Path) -> None:
    via = HttpTransport(url="https://h.example", secret_file=str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="nothing: No such file"):
        SmsSender(Sms(via=(via,), countries=("DE",)))


def test_a_line_end_never_gets_into_a_header() -> None:
    async def run() -> None:
        async with Gateway() as gateway:
            way = HttpGateway(gateway.transport(headers={"X-Text": "{text}"}))
            with pytest.raises(DeliveryError, match="ValueError"):
                await way.send(GERMAN, "a\r\nX-Evil: 1")
            assert gateway.connections == 0

    asyncio.run(run())


def test_a_number_goes_to_the_first_gateway_that_takes_its_country(database_url: str) -> None:
    async def run() -> None:
        async with Gateway() as first, Gateway() as second, Gateway() as third:
            ways = [
                first.transport(countries=("FR",)),
                second.transport(countries=("FR", "DE")),
                third.transport(),
            ]
            async with texting(database_url, *ways) as office:
                for number in (GERMAN, FRENCH, "+12025550123"):
                    assert await tried(office, number) is None
            numbers = [[json.loads(asked.body)["to"] for asked in one.asked] for one in (first, second, third)]
            assert numbers == [[FRENCH], [GERMAN], ["+12025550123"]]

    asyncio.run(run())


def test_gateways_that_name_the_country_come_before_those_for_all(database_url: str) -> None:
    async def run() -> None:
        async with Gateway("400 Bad Request") as general, Gateway("400 Bad Request") as first, Gateway() as second:
            ways = [
                general.transport(),
                first.transport(countries=("DE", "AT")),
                second.transport(countries=("DE",)),
            ]
            async with texting(database_url, *ways) as office:
                assert await tried(office) is None
                assert (len(general.asked), len(first.asked), len(second.asked)) == (0, 1, 1)
                second.answer = "400 Bad Request"
                error = await tried(office)
                assert error == "; ".join(f"{one.name}: answered 400" for one in (first, second, general))
                assert await tried(office, FRENCH) == f"{general.name}: answered 400"

    asyncio.run(run())


def test_what_no_gateway_takes_or_nobody_allowed_is_not_sent(database_url: str) -> None:
    async def run() -> None:
        async with Gateway() as gateway:
            way = gateway.transport(countries=("FR",))
            async with texting(database_url, way, countries=("FR", "DE")) as office:
                assert await tried(office) == "no gateway takes numbers of DE"
                assert await tried(office, "+12025550123") == "numbers of US get no SMS"
                assert await tried(office, "+870773111632") == "numbers of no country get no SMS"
                assert await tried(office, "alice@example.com") == "the recipient is not a phone number"
                assert await tried(office, "015112345678") == "the recipient is not a phone number"
                assert await tried(office, "4915112345678") == "numbers of DE get no SMS"
                assert office.worker.failed == 6
            assert gateway.connections == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "302 Found\r\nLocation: /x"]
)
def test_the_next_gateway_gets_what_one_certainly_did_not_take(database_url: str, answer: str) -> None:
    async def run() -> None:
        async with (
            Gateway(answer) as first,
            Gateway() as second,
            texting(database_url, unreachable(), first.transport(), second.transport()) as office,
        ):
            assert await tried(office) is None
            assert (len(first.asked), len(second.asked)) == (1, 1)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        ("429 Too Many Requests", 5 * SECOND),
        ("429 Too Many Requests\r\nRetry-After: 90", 90 * SECOND),
        ("503 Service Unavailable\r\nRetry-After: 120", 2 * MINUTE),
        ("503 Service Unavailable\r\nRetry-After: " + formatdate(1_800_000_100, usegmt=True), 5 * SECOND),
        ("429 Too Many Requests\r\nRetry-After: 999999999999", 5 * SECOND),
        ("429 Too Many Requests\r\nRetry-After: -1", 5 * SECOND),
    ],
)
def test_a_gateway_that_is_busy_is_asked_again_when_it_says(database_url: str, answer: str, pause: int) -> None:
    async def run() -> None:
        async with Gateway(answer) as gateway, texting(database_url, gateway.transport()) as office:
            order_id = await office.order(GERMAN, channel="sms")
            await office.worker.run_once()
            row = await office.row(order_id)
            assert row.due_at - office.clock.now() == pause
            assert row.last_error == f"{gateway.name}: answered {answer[:3]}"
            gateway.answer = "202 Accepted"
            office.clock.advance(pause)
            await office.worker.run_once()
            assert (await office.row(order_id)).sent_at == office.clock.now()
            assert len(gateway.asked) == 2

    asyncio.run(run())


@pytest.mark.parametrize("status", [300, 307, 400, 401, 402, 404, 413, 422])
def test_a_refusal_by_all_gateways_is_final(database_url: str, status: int) -> None:
    async def run() -> None:
        async with (
            Gateway(f"{status} No\r\nLocation: /elsewhere") as first,
            Gateway("403 Forbidden") as second,
            texting(database_url, first.transport(), second.transport()) as office,
        ):
            assert await tried(office) == f"{first.name}: answered {status}; {second.name}: answered 403"
            office.clock.advance(20 * MINUTE)
            await office.worker.run_once()
            assert (len(first.asked), len(second.asked), office.worker.failed) == (1, 1, 1)
            assert [asked.target for asked in first.asked] == ["/send"]  # not where it led

    asyncio.run(run())


def test_a_refusal_and_a_gateway_that_is_down_are_tried_again_together(database_url: str) -> None:
    async def run() -> None:
        down = unreachable()
        async with Gateway("400 Bad Request") as first, texting(database_url, first.transport(), down) as office:
            order_id = await office.order(GERMAN, channel="sms", life=HOUR)
            await office.worker.run_once()
            row = await office.row(order_id)
            assert row.failed_at is None
            assert row.last_error == (
                f"{first.name}: answered 400; {urlsplit(down.url).netloc}: ConnectionRefusedError"
            )

    asyncio.run(run())


def test_an_endless_answer_is_not_listened_to(database_url: str) -> None:
    async def run() -> None:
        async with Gateway(ENDLESS) as gateway, texting(database_url, gateway.transport()) as office:
            async with asyncio.timeout(30):
                assert await tried(office) is None
                while gateway.talks():  # the gateway ends when its connection does
                    await asyncio.sleep(0.01)
            assert gateway.said < 20_000_000  # what fits into the buffers between us

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "trusted", "cause"),
    [
        ("localhost", True, ""),
        ("localhost", False, "SSLCertVerificationError: unable to get local issuer certificate"),
        ("other.example", True, "SSLCertVerificationError: Hostname mismatch"),
    ],
)
def test_a_gateway_whose_certificate_is_not_good_is_told_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, cause: str
) -> None:
    async def run() -> None:
        async with (
            Gateway(tls=authority().server(name)) as gateway,
            texting(database_url, gateway.transport()) as office,
        ):
            error = await tried(office)
            assert (error is None) == (cause == "")
            assert cause in (error or "")
            assert len(gateway.asked) == (1 if error is None else 0)

    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", authority().file(tmp_path))  # as if the system knew it
    asyncio.run(run())


def test_no_proxy_of_the_environment_sees_a_text(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with Gateway() as proxy, Gateway() as gateway:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://{proxy.name}")
            async with texting(database_url, gateway.transport()) as office:
                assert await tried(office) is None
            assert (proxy.connections, len(gateway.asked)) == (0, 1)

    asyncio.run(run())


@pytest.mark.parametrize("answer", ["200 OK", "400 Bad Request", "500 Oops", "hang", "nonsense"])
def test_a_log_knows_neither_secret_nor_code_nor_number_nor_path(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    async def run(gateway: Gateway) -> str | None:
        async with gateway:
            way = gateway.transport(
                url=f"http://{gateway.name}/canary-path/{{secret}}",
                headers={"Authorization": "{secret}"},
                secret_file=secret_file(tmp_path, "canary-secret"),
                timeout=1.0 if answer == "hang" else 5.0,
            )
            async with texting(database_url, way) as office:
                return await tried(office)

    with structlog.testing.capture_logs() as logs:
        error = asyncio.run(run(Gateway(answer)))
    assert len(logs) == 1
    told = f"{logs} {error} {capsys.readouterr()}"
    for secret in ("canary", "042917", GERMAN, "112345"):
        assert secret not in told


def test_the_console_shows_the_text_and_says_that_nothing_was_sent(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> None:
        async with texting(database_url, ConsoleTransport()) as office:
            assert await tried(office) is None

    asyncio.run(run())
    shown = capsys.readouterr().err
    assert f"A text to {GERMAN}. Development only: nothing was sent." in shown
    assert "042917 is your code" in shown


def test_what_is_known_of_a_gateway_is_not_its_secret(tmp_path: Path) -> None:
    via = HttpTransport(url="https://sms.example/{secret}", secret_file=secret_file(tmp_path, "canary"))
    assert HttpGateway(via).name == "sms.example"
    assert "canary" not in repr(vars(HttpGateway(via)))


def test_an_order_of_another_channel_waits(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order(GERMAN, channel="sms")
            await office.worker.run_once()
            row = await office.row(order_id)
            assert (row.failed_at, row.last_error) == (None, "there is no transport for sms")

    asyncio.run(run())


def test_a_channel_is_whatever_takes_its_orders(database_url: str) -> None:
    async def run() -> None:
        taken: list[ClaimedJob] = []

        async def take(order: ClaimedJob) -> None:
            taken.append(order)

        async with PostOffice(database_url) as office:
            office.deliver_by(JobType("pigeon", take))
            order_id = await office.order("the tower", channel="pigeon")
            await office.worker.run_once()
            assert [order.recipient for order in taken] == ["the tower"]
            assert (await office.row(order_id)).sent_at is not None

    asyncio.run(run())
