"""The gateways that the guide describes, against what their vendors answer: accepted, and rejected."""

import asyncio
import json
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from sms_gateway import Asked, Gateway
from threepid.config import HttpTransport
from threepid.config.sections.gateways import gateway_problems
from threepid.delivery.errors import DeliveryError
from threepid.delivery.gateways.http import HttpGateway

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "mails-and-sms.md").read_text(encoding="utf-8")
NUMBER = "+4915112345678"
TEXT = 'your code & "link"'
ANSWERS = {
    "api.twilio.com": [("201 Created", '{"sid": "SM1", "status": "queued"}'), ("400 Bad Request", '{"code": 21211}')],
    "rest.nexmo.com": [
        ("200 OK", '{"message-count": "1", "messages": [{"to": "4915112345678", "status": "0"}]}'),
        ("200 OK", '{"message-count": "1", "messages": [{"status": "4", "error-text": "Bad Credentials"}]}'),
    ],
    "YOUR.api.infobip.com": [
        ("200 OK", '{"messages": [{"messageId": "1", "status": {"groupId": 1, "groupName": "PENDING"}}]}'),
        ("200 OK", '{"messages": [{"messageId": "1", "status": {"groupId": 5, "groupName": "REJECTED"}}]}'),
    ],
}


def described(directory: Path) -> dict[str, dict[str, Any]]:
    """The settings of the guide's gateways, by host, with a secret for each."""
    (block,) = re.findall(r"^```toml sms\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    found = {}
    for one in tomllib.loads(block)["sms"]["via"]:
        secret = directory / one["secret_file"]
        secret.write_text("s3cret")
        secret.chmod(0o600)
        found[one["url"].split("/")[2]] = {**one, "secret_file": str(secret)}
    return found


def test_the_settings_of_each_vendor_are_accepted(tmp_path: Path) -> None:
    found = described(tmp_path)
    assert found.keys() == ANSWERS.keys()
    for one in found.values():
        assert list(gateway_problems("via", msgspec.convert(one, HttpTransport), public=True)) == []


@pytest.mark.parametrize("vendor", sorted(ANSWERS))
def test_each_vendor_s_yes_is_a_yes_and_its_no_a_no(vendor: str, tmp_path: Path) -> None:
    settings = described(tmp_path)[vendor]

    async def send(status: str, body: str) -> list[Asked]:
        async with Gateway(f"{status}\r\nContent-Type: application/json", body=body) as gateway:
            await HttpGateway(msgspec.convert({**settings, "url": gateway.transport().url}, HttpTransport)).send(
                NUMBER, TEXT
            )
            return gateway.asked

    yes, no = ANSWERS[vendor]
    (asked,) = asyncio.run(send(*yes))
    sent = json.dumps(parse_qs(asked.body) if vendor == "api.twilio.com" else json.loads(asked.body))
    assert json.dumps(TEXT) in sent
    assert NUMBER.removeprefix("+") in sent
    assert "s3cret" in asked.body + asked.headers.get("authorization", "")
    with pytest.raises(DeliveryError):
        asyncio.run(send(*no))
