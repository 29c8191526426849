"""How requests to the Identity Service API v2 may be written, and how what is wrong with them is called."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from world import World

V2 = "/_matrix/identity/v2"
ALICE = "@alice:example.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EMAIL = {"client_secret": "secret", "email": "Alice@Example.com", "send_attempt": 1}
PHONE = {"client_secret": "secret", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, sms__countries=["GB"]) as made:
        yield made


@pytest.fixture
def token(world: World) -> str:
    return world.identity_token(world.register())


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errcode"]


def test_addresses_are_validated_and_bound_by_forms_too(world: World, token: str) -> None:
    def send(path: str, fields: dict[str, Any]) -> Any:
        answer = world.post(f"{V2}/{path}", urlencode(fields), token=token, headers=FORM)
        assert answer.status_code == 200, answer.text
        return answer.json()

    for medium, fields in (("email", EMAIL), ("msisdn", PHONE)):
        sid = send(f"validate/{medium}/requestToken", fields)["sid"]
        code = world.mail().code if medium == "email" else world.text().code
        session = {"sid": sid, "client_secret": "secret"}
        assert send(f"validate/{medium}/submitToken", {**session, "token": code}) == {"success": True}
        assert send("3pid/bind", {**session, "mxid": ALICE})["medium"] == medium


def test_json_under_the_name_of_a_form_is_json(world: World, token: str) -> None:
    answer = world.post(f"{V2}/validate/email/requestToken", EMAIL, token=token, headers=FORM)
    assert list(answer.json()) == ["sid"]


def test_other_operations_take_no_forms(world: World, token: str) -> None:
    form = urlencode({"algorithm": "sha256", "pepper": "x", "addresses": "y"})
    assert refusal(world.post(f"{V2}/lookup", form, token=token, headers=FORM)) == (400, "M_NOT_JSON")


def test_parameters_in_the_query_are_none(world: World, token: str) -> None:
    answer = world.post(f"{V2}/validate/email/requestToken?{urlencode(EMAIL)}", {}, token=token)
    assert refusal(answer) == (400, "M_MISSING_PARAMS")


def test_what_is_missing_is_called_as_this_specification_does(world: World, token: str) -> None:
    assert refusal(world.post(f"{V2}/3pid/bind", {}, token=token)) == (400, "M_MISSING_PARAMS")
    assert refusal(world.post(f"{V2}/account/register", {})) == (400, "M_MISSING_PARAMS")
    assert refusal(world.get(f"{V2}/pubkey/isvalid")) == (400, "M_MISSING_PARAMS")
    assert refusal(world.get("/_matrix/identity/api/v1/pubkey/isvalid")) == (400, "M_MISSING_PARAMS")
    page = f"{V2}/validate/email/submitToken"
    assert refusal(world.get(page, token=token)) == (400, "M_MISSING_PARAMS")


def test_a_person_submits_by_a_link_with_the_token_in_it_where_that_is_wished(
    database_url: str, tmp_path: Path
) -> None:
    with World(database_url, tmp_path, server__query_token=["identity_v2"]) as world:
        token = world.identity_token(world.register())
        sid = world.request_token(token)
        query = {"sid": sid, "client_secret": "secret", "token": world.mail().code}
        path = f"{V2}/validate/email/submitToken"
        assert refusal(world.get(f"{path}?{urlencode(query)}")) == (401, "M_UNAUTHORIZED")
        answer = world.get(f"{path}?{urlencode({**query, 'access_token': token})}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        proof = world.get(f"{V2}/3pid/getValidated3pid?sid={sid}&client_secret=secret", token=token)
        assert proof.json()["address"] == "alice@example.com"


def test_a_program_is_told_in_json_what_was_wrong_with_its_get(world: World, token: str) -> None:
    path = f"{V2}/validate/email/submitToken?sid=unknown&client_secret=secret&token=123456"
    refused = world.get(path, token=token)
    assert refusal(refused) == (404, "M_NO_VALID_SESSION")
    assert refused.headers["content-type"] == "application/json"
    assert refused.headers["access-control-allow-origin"] == "*"
    page = world.get(path, token=token, headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_a_number_of_a_country_where_no_texts_go_is_rejected_as_a_destination(world: World, token: str) -> None:
    abroad = {**PHONE, "country": "FR", "phone_number": "06 12 34 56 78"}
    answer = world.post(f"{V2}/validate/msisdn/requestToken", abroad, token=token)
    assert refusal(answer) == (400, "M_DESTINATION_REJECTED")


@pytest.mark.parametrize("country", ["", None], ids=["as apps for iOS send it", "as Element Web sends it"])
@pytest.mark.parametrize("number", ["+44 7400 123456", "447400123456"])
def test_an_empty_country_goes_with_an_international_number(
    world: World, token: str, number: str, country: str | None
) -> None:
    fields = {**PHONE, "country": country, "phone_number": number}
    sid = world.post(f"{V2}/validate/msisdn/requestToken", fields, token=token).json()["sid"]
    session = {"sid": sid, "client_secret": "secret"}
    world.post(f"{V2}/validate/msisdn/submitToken", {**session, "token": world.text().code}, token=token)
    bound = world.post(f"{V2}/3pid/bind", {**session, "mxid": ALICE}, token=token).json()
    assert (bound["medium"], bound["address"]) == ("msisdn", "447400123456")


def test_a_national_number_needs_its_country(world: World, token: str) -> None:
    path = f"{V2}/validate/msisdn/requestToken"
    for country in ("", None):
        assert refusal(world.post(path, {**PHONE, "country": country}, token=token)) == (400, "M_INVALID_ADDRESS")
    for country in ("G", "GBR", " ", "4"):
        assert refusal(world.post(path, {**PHONE, "country": country}, token=token)) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    "name", ["a b", "x/y", "@a:example.org", "https://example.org", "example.org:", "1.2.3", "ä.org"]
)
def test_a_text_that_is_no_server_name_is_a_wrong_parameter(world: World, name: str) -> None:
    openid = {"access_token": "x", "token_type": "Bearer", "matrix_server_name": name, "expires_in": 3600}
    assert refusal(world.post(f"{V2}/account/register", openid)) == (400, "M_INVALID_PARAM")


def test_the_life_of_an_openid_token_may_be_a_number_with_a_point(world: World) -> None:
    path = "/_matrix/client/v3/user/@alice:example.org/openid/request_token"
    openid = world.post(path, {}, token=world.register()).json()
    answer = world.post(f"{V2}/account/register", {**openid, "expires_in": 3600.0})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("key_id", ["", "x" * 300])
def test_an_invalid_part_of_a_path_is_no_parameter_without_a_name(world: World, key_id: str) -> None:
    answer = world.get(f"{V2}/pubkey/{key_id}")
    assert answer.status_code == 400
    assert answer.json() == {"errcode": "M_INVALID_PARAM", "error": "A parameter has an invalid value."}
