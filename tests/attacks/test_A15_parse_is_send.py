"""A15: what was parsed is what is stored, put on the envelope and written into the header, byte for byte."""

import pytest

from data.hostile_emails import HOSTILE
from threepid.domain.addresses import InvalidAddress, parse_email
from world import World

PATH = "/_matrix/identity/v2/validate/email/requestToken"
HARMLESS = [
    "a@b.example",
    "a.b+c@d.example",
    "!#$%&'*+-/=?^_`{|}~@b.example",
    "-oX@b.example",
    "a%b@c.example",
    "a!b@c.example",
    "Alice@EXAMPLE.example",
    "a@xn--bcher-kva.example",
    "x" * 64 + "@b.example",
]


def test_the_list_is_long() -> None:
    assert len(set(HOSTILE)) >= 300


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text)[:40])
def test_a_hostile_text_is_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_email(text)


def test_the_api_refuses_all_of_them_and_mails_nothing(world: World) -> None:
    identity = world.identity_token(world.register())
    for text in HOSTILE:
        body = {"client_secret": "secret", "email": text, "send_attempt": 1}
        of_identity = world.post(PATH, body, token=identity)
        assert of_identity.status_code == 400, text
        assert of_identity.json()["errcode"] in {"M_INVALID_EMAIL", "M_BAD_JSON"}, text
        of_client = world.post("/_matrix/client/v3/register/email/requestToken", body)
        assert of_client.status_code == 400, text
        assert of_client.json()["errcode"] in {"M_INVALID_PARAM", "M_BAD_JSON"}, text
    assert world.mails() == []


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_address_is_enveloped_as_it_was_parsed(world: World, text: str) -> None:
    identity = world.identity_token(world.register())
    world.request_token(identity, text)
    mail = world.mail()
    local, _, domain = text.rpartition("@")
    assert mail.recipient == f"{local}@{domain.lower()}"
    assert [address.addr_spec for address in mail.message["To"].addresses] == [mail.recipient]


def test_an_international_domain_is_mailed_as_a_labels(world: World) -> None:
    world.request_token(world.identity_token(world.register()), "a@Bücher.example")
    assert world.mail().recipient == "a@xn--bcher-kva.example"


def test_domain_rules_look_at_the_parsed_domain(database_url: str, tmp_path: object) -> None:
    from pathlib import Path

    with World(database_url, Path(str(tmp_path)), policy__email_domains_allowed=["important.example"]) as world:
        identity = world.identity_token(world.register())
        for text in ("a@evil.example", "a@important.example.evil.example", "a@notimportant.example"):
            answer = world.post(PATH, {"client_secret": "s", "email": text, "send_attempt": 1}, token=identity)
            assert (answer.status_code, answer.json()["errcode"]) == (403, "M_THREEPID_DENIED")
        world.request_token(identity, "a@IMPORTANT.example")
