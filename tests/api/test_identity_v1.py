"""The Identity Service API v1 as homeservers call it: Synapse with JSON, Dendrite with forms, both without a token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import nacl.signing
import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import verify_signed_json
from unpaddedbase64 import decode_base64, encode_base64

from threepid.clock import DAY, MINUTE
from threepid.domain.secrets.keys import import_keys
from threepid.spec.signing import SignedRequest
from world import HandClock, World

V1 = "/_matrix/identity/api/v1"
V2 = "/_matrix/identity/v2"
US = "matrix.example.org"
ALICE = "@alice:example.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EMAIL = {"client_secret": "secret", "email": "Alice@Example.com", "send_attempt": 1}
PHONE = {"client_secret": "secret", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}
ALL_ON = {"public_keys": True, "validate": True, "lookup": True, "bind": True}
OF_SWITCH = {
    "public_keys": ["GET pubkey/ed25519:0", "GET pubkey/isvalid", "GET pubkey/ephemeral/isvalid"],
    "validate": [
        *("POST validate/email/requestToken", "POST validate/msisdn/requestToken"),
        *("POST validate/email/submitToken", "POST validate/msisdn/submitToken"),
        *("GET validate/email/submitToken", "GET validate/msisdn/submitToken"),
        "GET 3pid/getValidated3pid",
    ],
    "lookup": ["GET lookup", "POST bulk_lookup"],
    "bind": ["POST 3pid/bind", "POST 3pid/unbind"],
}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, identity__v1=ALL_ON, sms__countries=["GB"]) as made:
        yield made


def form(world: World, path: str, fields: dict[str, Any]) -> httpx.Response:
    return world.post(f"{V1}/{path}", urlencode(fields), headers=FORM)


def as_json(world: World, path: str, fields: dict[str, Any]) -> httpx.Response:
    return world.post(f"{V1}/{path}", fields)


def as_query(world: World, path: str, fields: dict[str, Any]) -> httpx.Response:
    return world.call("POST", f"{V1}/{path}?{urlencode(fields)}")


def as_query_with_null(world: World, path: str, fields: dict[str, Any]) -> httpx.Response:
    return world.post(f"{V1}/{path}?{urlencode(fields)}", "null")


def half_and_half(world: World, path: str, fields: dict[str, Any]) -> httpx.Response:
    first, *rest = fields
    return world.post(f"{V1}/{path}?{urlencode({first: fields[first]})}", {name: fields[name] for name in rest})


WAYS = [as_json, form, as_query, as_query_with_null, half_and_half]


def session(world: World, fields: dict[str, Any] = EMAIL) -> str:
    medium = "email" if "email" in fields else "msisdn"
    answer = world.post(f"{V1}/validate/{medium}/requestToken", fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["sid"])


def validated(world: World, fields: dict[str, Any] = EMAIL) -> str:
    sid = session(world, fields)
    code = world.mail().code if "email" in fields else world.text().code
    medium = "email" if "email" in fields else "msisdn"
    submit = {"sid": sid, "client_secret": fields["client_secret"], "token": code}
    assert world.post(f"{V1}/validate/{medium}/submitToken", submit).json() == {"success": True}
    world.clock.advance(1)
    return sid


def published(world: World, fields: dict[str, Any] = EMAIL, mxid: str = ALICE) -> dict[str, Any]:
    body = {"sid": validated(world, fields), "client_secret": fields["client_secret"], "mxid": mxid}
    answer = world.post(f"{V1}/3pid/bind", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def proven(world: World, sid: str, secret: str = "secret") -> httpx.Response:
    return world.get(f"{V1}/3pid/getValidated3pid?sid={sid}&client_secret={secret}")


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errcode"]


def lookup(world: World, medium: str, address: str) -> Any:
    answer = world.get(f"{V1}/lookup?medium={medium}&address={quote(address, safe='')}")
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- Synapse


def test_synapse_has_an_address_validated_by_us(world: World) -> None:
    sid = session(world, {**EMAIL, "next_link": "https://app.example/"})
    assert refusal(proven(world, sid)) == (400, "M_SESSION_NOT_VALIDATED")
    assert world.mail().recipient == "Alice@example.com"
    world.clock.advance(1)
    assert world.post(world.mail().link).status_code == 200
    assert proven(world, sid).json() == {
        "medium": "email",
        "address": "alice@example.com",
        "validated_at": world.clock.now(),
    }


def test_synapse_has_a_number_validated_by_us(world: World) -> None:
    asked = world.post(f"{V1}/validate/msisdn/requestToken", PHONE)
    # Synapse passes the answer on, and its clients show the number.
    assert asked.json() == {"sid": asked.json()["sid"], "msisdn": "447400123456"}
    submit = {"client_secret": "secret", "sid": asked.json()["sid"], "token": world.text().code}
    assert world.post(f"{V1}/validate/msisdn/submitToken", submit).json() == {"success": True}
    found = proven(world, asked.json()["sid"]).json()
    assert (found["medium"], found["address"], found["validated_at"]) == ("msisdn", "447400123456", world.clock.now())


def test_synapse_unbinds_by_a_signature_over_the_path_that_it_called(world: World) -> None:
    signer = world.server.services.keyring.signer("example.org")
    body = {"mxid": ALICE, "threepid": {"medium": "msisdn", "address": "447400123456"}}
    published(world, PHONE)

    def unbind(signed: str, member: str) -> httpx.Response:
        header = signer.authorization(SignedRequest("POST", signed, body), US, member=member)
        return world.post(f"{V1}/3pid/unbind", body, headers={"Authorization": header})

    assert refusal(unbind(f"{V2}/3pid/unbind", "destination_is")) == (403, "M_FORBIDDEN")
    assert lookup(world, "msisdn", "447400123456")["mxid"] == ALICE
    assert unbind(f"{V1}/3pid/unbind", "destination_is").json() == {}
    assert lookup(world, "msisdn", "447400123456") == {}
    published(world, {**PHONE, "client_secret": "again"})
    assert unbind(f"{V1}/3pid/unbind", "destination").json() == {}
    assert lookup(world, "msisdn", "447400123456") == {}


def test_an_address_is_unbound_by_a_proof_of_it(world: World) -> None:
    published(world)
    body = {"mxid": ALICE, "threepid": {"medium": "email", "address": "ALICE@example.com"}, "client_secret": "other"}
    assert refusal(world.post(f"{V1}/3pid/unbind", {**body, "sid": "unknown"})) == (404, "M_NO_VALID_SESSION")
    sid = session(world, {**EMAIL, "client_secret": "other"})
    assert refusal(world.post(f"{V1}/3pid/unbind", {**body, "sid": sid})) == (400, "M_SESSION_NOT_VALIDATED")
    world.post(world.mail().link)
    assert world.post(f"{V1}/3pid/unbind", {**body, "sid": sid}).json() == {}
    assert lookup(world, "email", "alice@example.com") == {}


# -- Dendrite


def test_dendrite_has_an_address_validated_binds_it_and_checks_our_signature(world: World) -> None:
    asked = form(world, "validate/email/requestToken", EMAIL)
    assert list(asked.json()) == ["sid"]
    sid = asked.json()["sid"]
    early = proven(world, sid)
    assert early.json()["errcode"] == "M_SESSION_NOT_VALIDATED"
    world.post(world.mail().link)
    # It puts both into the address as they are.
    assert proven(world, sid).json()["address"] == "alice@example.com"
    assert form(world, "3pid/bind", {"sid": sid, "client_secret": "secret", "mxid": ALICE}).status_code == 200
    found = lookup(world, "email", "alice@example.com")
    assert found["mxid"] == ALICE
    assert found["not_before"] <= world.clock.now() <= found["not_after"]
    (key_id,) = found["signatures"][US]
    key = world.get(f"{V1}/pubkey/{key_id}").json()["public_key"]
    verify_signed_json(found, US, decode_verify_key_bytes(key_id, decode_base64(key)))
    assert world.get(f"{V1}/pubkey/isvalid?public_key={quote(key, safe='')}").json() == {"valid": True}


# -- every form of a request


@pytest.mark.parametrize("way", WAYS)
def test_parameters_come_as_json_as_a_form_or_in_the_query(world: World, way: Any) -> None:
    sid = way(world, "validate/email/requestToken", EMAIL).json()["sid"]
    submit = {"sid": sid, "client_secret": "secret", "token": world.mail().code}
    assert way(world, "validate/email/submitToken", submit).json() == {"success": True}
    bound = way(world, "3pid/bind", {"sid": sid, "client_secret": "secret", "mxid": ALICE}).json()
    assert (bound["medium"], bound["address"], bound["mxid"]) == ("email", "alice@example.com", ALICE)
    number = way(world, "validate/msisdn/requestToken", PHONE).json()
    submit = {"sid": number["sid"], "client_secret": "secret", "token": world.text().code}
    assert way(world, "validate/msisdn/submitToken", submit).json() == {"success": True}


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_country_goes_with_an_international_number(world: World, way: Any) -> None:
    fields = {**PHONE, "country": "", "phone_number": "+447400123456"}
    assert way(world, "validate/msisdn/requestToken", fields).json()["msisdn"] == "447400123456"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_missing_or_none_of_ours_is_named(world: World, way: Any) -> None:
    for path, fields, wrong in (
        ("validate/email/requestToken", EMAIL, (400, "M_INVALID_EMAIL")),
        ("validate/msisdn/requestToken", PHONE, (400, "M_INVALID_ADDRESS")),
    ):
        address = "email" if "email" in fields else "phone_number"
        assert refusal(way(world, path, {**fields, address: "nonsense"})) == wrong
        for missing in fields:
            without = {name: value for name, value in fields.items() if name != missing}
            answer = way(world, path, without)
            assert refusal(answer) == (400, "M_MISSING_PARAMS")
            assert missing in answer.json()["error"]
    unknown = {"sid": "unknown", "client_secret": "secret"}
    for medium in ("email", "msisdn"):
        submitted = way(world, f"validate/{medium}/submitToken", {**unknown, "token": "123456"})
        assert refusal(submitted) == (404, "M_NO_VALID_SESSION")
    assert refusal(way(world, "3pid/bind", {**unknown, "mxid": ALICE})) == (404, "M_NO_VALID_SESSION")


@pytest.mark.parametrize("way", [as_json, form, as_query])
@pytest.mark.parametrize("fields", [EMAIL, PHONE])
def test_the_number_of_a_try_is_a_number_or_text(world: World, way: Any, fields: dict[str, Any]) -> None:
    path = f"validate/{'email' if 'email' in fields else 'msisdn'}/requestToken"
    sids = {way(world, path, {**fields, "send_attempt": attempt}).json()["sid"] for attempt in (1, "1", "2", 2)}
    assert len(sids) == 1
    assert len(world.mails()) + len(world.texts()) == 2
    for wrong in ("one", "", "-1", "1.5", "9" * 30):
        assert way(world, path, {**fields, "send_attempt": wrong}).status_code == 400
    assert len(world.mails()) + len(world.texts()) == 2


# -- what a session says


@pytest.mark.parametrize("way", [as_json, form, as_query])
@pytest.mark.parametrize("medium", ["email", "msisdn"])
def test_a_wrong_code_is_no_success_and_no_error(world: World, way: Any, medium: str) -> None:
    sent = way(world, f"validate/{medium}/requestToken", EMAIL if medium == "email" else PHONE).json()
    code = world.mail().code if medium == "email" else world.text().code
    wrong = str((int(code) + 1) % 1_000_000).rjust(6, "0")
    submit = {"sid": sent["sid"], "client_secret": "secret"}
    path = f"validate/{medium}/submitToken"
    for token in (wrong, "nonsense", "", "9" * 2000):
        answer = way(world, path, {**submit, "token": token})
        assert (answer.status_code, answer.json()) == (200, {"success": False})
    assert refusal(proven(world, sent["sid"])) == (400, "M_SESSION_NOT_VALIDATED")
    assert way(world, path, {**submit, "token": code}).json() == {"success": True}


def test_wrong_codes_count_and_end_the_session_as_everywhere(world: World) -> None:
    sid = session(world)
    code = world.mail().code
    path = f"{V1}/validate/email/submitToken"
    submit = {"sid": sid, "client_secret": "secret"}
    for _ in range(5):
        assert world.post(path, {**submit, "token": "nonsense"}).json() == {"success": False}
    assert world.post(path, {**submit, "token": code}).json() == {"success": False}
    assert refusal(proven(world, sid)) == (400, "M_SESSION_NOT_VALIDATED")
    for other in ({**submit, "sid": "unknown"}, {**submit, "client_secret": "wrong"}):
        assert refusal(world.post(path, {**other, "token": code})) == (404, "M_NO_VALID_SESSION")


def test_a_code_that_is_too_old_is_no_success(world: World) -> None:
    submit = {"sid": session(world), "client_secret": "secret", "token": world.mail().code}
    world.clock.advance(20 * MINUTE)
    assert world.post(f"{V1}/validate/email/submitToken", submit).json() == {"success": False}


def test_every_state_of_a_session_has_its_status_and_errcode(world: World) -> None:
    sid = session(world)
    wrong = str((int(world.mail().code) + 1) % 1_000_000).rjust(6, "0")
    submit = {"sid": sid, "client_secret": "secret", "token": wrong}
    assert refusal(proven(world, sid)) == (400, "M_SESSION_NOT_VALIDATED")
    assert refusal(proven(world, sid, "wrong")) == (404, "M_NO_VALID_SESSION")
    assert refusal(proven(world, "unknown")) == (404, "M_NO_VALID_SESSION")
    assert world.post(f"{V1}/validate/email/submitToken", submit).json() == {"success": False}
    unbound = {"sid": sid, "client_secret": "secret", "mxid": ALICE}
    assert refusal(world.post(f"{V1}/3pid/bind", unbound)) == (400, "M_SESSION_NOT_VALIDATED")
    world.clock.advance(DAY)
    assert refusal(proven(world, sid)) == (400, "M_SESSION_EXPIRED")
    assert refusal(world.post(f"{V1}/3pid/bind", unbound)) == (400, "M_SESSION_EXPIRED")


def test_sessions_of_one_version_are_of_no_use_in_the_other(world: World) -> None:
    identity = world.identity_token(world.register())
    old = {"sid": validated(world), "client_secret": "secret", "mxid": ALICE}
    assert refusal(world.post(f"{V2}/3pid/bind", old, token=identity)) == (404, "M_NO_VALID_SESSION")
    new = {"sid": world.validated(identity, "new@example.com"), "client_secret": "secret", "mxid": ALICE}
    assert refusal(world.post(f"{V1}/3pid/bind", new)) == (404, "M_NO_VALID_SESSION")
    assert world.post(f"{V2}/3pid/bind", new, token=identity).status_code == 200
    assert world.post(f"{V1}/3pid/bind", old).status_code == 200


# -- the pages of GET


@pytest.mark.parametrize("base", [V1, V2])
@pytest.mark.parametrize("fields", [EMAIL, PHONE])
def test_a_get_submits_and_shows_a_page(world: World, base: str, fields: dict[str, Any]) -> None:
    token = world.identity_token(world.register()) if base == V2 else None
    medium = "email" if "email" in fields else "msisdn"
    sid = world.post(f"{base}/validate/{medium}/requestToken", fields, token=token).json()["sid"]
    code = world.mail().code if medium == "email" else world.text().code
    wrong = str((int(code) + 1) % 1_000_000).rjust(6, "0")

    def submit(**query: str) -> httpx.Response:
        browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        answer = world.get(f"{base}/validate/{medium}/submitToken?{urlencode(query)}", token=token, headers=browser)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        return answer

    assert submit(sid=sid, client_secret="secret", token=wrong).status_code == 400
    assert submit(sid="unknown", client_secret="secret", token=code).status_code == 404
    assert submit(sid=sid, client_secret="secret").status_code == 400
    checked = f"{base}/3pid/getValidated3pid?sid={sid}&client_secret=secret"
    assert refusal(world.get(checked, token=token)) == (400, "M_SESSION_NOT_VALIDATED")
    for _ in range(2):  # a second click is answered like the first
        done = submit(sid=sid, client_secret="secret", token=code)
        assert done.status_code == 200
        assert "is confirmed" in done.text
    assert world.get(checked, token=token).json()["medium"] == medium


@pytest.mark.parametrize("fields", [EMAIL, PHONE])
def test_a_get_sends_people_on_to_listed_places_only(database_url: str, tmp_path: Path, fields: dict[str, Any]) -> None:
    changes: dict[str, Any] = {
        "identity__v1": ALL_ON,
        "sms__countries": ["GB"],
        "web__next_link_hosts": ["app.example"],
    }
    medium = "email" if "email" in fields else "msisdn"
    with World(database_url, tmp_path, **changes) as world:

        def done(secret: str, next_link: str) -> httpx.Response:
            world.clock.advance(1)
            sid = session(world, {**fields, "client_secret": secret, "next_link": next_link})
            code = world.mail().code if medium == "email" else world.text().code
            query = urlencode(
                {"sid": sid, "client_secret": secret, "token": code, "next_link": "https://evil.example/"}
            )
            return world.get(f"{V1}/validate/{medium}/submitToken?{query}")

        sent_on = done("one", "https://app.example/done?a=b")
        assert sent_on.status_code == 303
        assert sent_on.headers["Location"].startswith("https://app.example/done?a=b&sid=")
        shown = done("two", "https://evil.example/")
        assert shown.status_code == 200
        assert "Location" not in shown.headers


def test_a_get_of_v2_needs_a_token_and_accepted_terms(database_url: str, tmp_path: Path) -> None:
    terms = {"id": "rules", "version": "1", "languages": {"en": {"name": "R", "url": "https://example.org/rules"}}}
    with World(database_url, tmp_path, identity__terms=[terms]) as world:
        identity = world.identity_token(world.register())
        path = f"{V2}/validate/email/submitToken?sid=a&client_secret=b&token=c"
        assert world.get(path).status_code == 401
        assert world.get(path, token=identity).status_code == 403
        world.post(f"{V2}/terms", {"user_accepts": ["https://example.org/rules"]}, token=identity)
        assert world.get(path, token=identity).status_code == 404


def test_where_gets_do_not_submit_there_is_none(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__v1=ALL_ON, identity__get_submits=False) as world:
        for base in (V1, V2):
            for medium in ("email", "msisdn"):
                assert world.get(f"{base}/validate/{medium}/submitToken").status_code == 405


# -- the switches


@pytest.mark.parametrize("switch", OF_SWITCH)
def test_a_switch_turns_on_its_operations_and_no_other(database_url: str, tmp_path: Path, switch: str) -> None:
    with World(database_url, tmp_path, identity__v1={**dict.fromkeys(ALL_ON, False), switch: True}) as world:
        for other, operations in OF_SWITCH.items():
            for operation in operations:
                method, _, path = operation.partition(" ")
                answer = world.call(method, f"{V1}/{path}")
                unserved = answer.status_code == 405 or (answer.status_code == 404 and "M_UNRECOGNIZED" in answer.text)
                assert unserved != (other == switch), operation


@pytest.mark.parametrize(
    ("networks", "allowed", "refused"),
    [
        (["203.0.113.0/24"], ["203.0.113.9", "::ffff:203.0.113.9"], ["203.0.114.1", "2001:db8::1"]),
        (["203.0.113.9"], ["203.0.113.9"], ["203.0.113.8"]),
        (["2001:db8::/48", "10.0.0.1"], ["2001:db8::1", "10.0.0.1"], ["2001:db8:1::1", "10.0.0.2"]),
    ],
)
def test_validation_is_for_listed_homeservers(
    database_url: str, tmp_path: Path, networks: list[str], allowed: list[str], refused: list[str]
) -> None:
    switches = {**ALL_ON, "validate_from": networks}
    with World(database_url, tmp_path, identity__v1=switches, sms__countries=["GB"]) as world:
        bodies: dict[str, dict[str, Any]] = {
            "email/requestToken": EMAIL,
            "msisdn/requestToken": PHONE,
            "email/submitToken": {"sid": "unknown", "client_secret": "secret", "token": "1"},
            "msisdn/submitToken": {"sid": "unknown", "client_secret": "secret", "token": "1"},
        }

        def statuses(client: str) -> list[int]:
            headers = {"X-Forwarded-For": client}
            query = "sid=unknown&client_secret=secret&token=1"
            return [
                *(
                    world.post(f"{V1}/validate/{path}", body, headers=headers).status_code
                    for path, body in bodies.items()
                ),
                *(
                    world.get(f"{V1}/{path}?{query}", headers=headers).status_code
                    for path in ("validate/email/submitToken", "validate/msisdn/submitToken", "3pid/getValidated3pid")
                ),
            ]

        for client in refused:
            assert statuses(client) == [403] * 7, client
        assert world.mails() == []
        for client in allowed:
            assert statuses(client) == [200, 200, 404, 404, 404, 404, 404], client
        # The other switches are everybody's.
        assert world.get(f"{V1}/lookup?medium=email&address=a@b.example").json() == {}


def test_over_a_socket_without_an_address_nobody_is_a_listed_homeserver(database_url: str, tmp_path: Path) -> None:
    switches = {"validate": True, "validate_from": ["127.0.0.1"]}
    with World(database_url, tmp_path, identity__v1=switches) as world:
        transport = httpx.ASGITransport(app=world.server.asgi, client=("", 0))  # type: ignore[arg-type]

        async def ask(headers: dict[str, str]) -> int:
            async with httpx.AsyncClient(transport=transport, base_url="https://matrix.example.org") as http:
                return (await http.post(f"{V1}/validate/email/requestToken", json=EMAIL, headers=headers)).status_code

        assert world.run(ask({})) == 403
        assert world.run(ask({"X-Forwarded-For": "127.0.0.1"})) == 200


@pytest.mark.parametrize("listed", [True, False])
def test_a_listed_homeserver_asks_for_more_people_than_one_caller_may(
    database_url: str, tmp_path: Path, listed: bool
) -> None:
    switches = {"validate": True, **({"validate_from": ["127.0.0.1"]} if listed else {})}
    limits = {"message_from_client": {"burst": 3, "per_hour": 1}, "message_to_address": {"burst": 2, "per_hour": 1}}
    with World(database_url, tmp_path, identity__v1=switches, limits=limits) as world:
        path = f"{V1}/validate/email/requestToken"
        answers = [world.post(path, {**EMAIL, "email": f"a{number}@example.com"}) for number in range(5)]
        assert [answer.status_code for answer in answers] == ([200] * 5 if listed else [200] * 3 + [429] * 2)
        # Nobody's mailbox is flooded for all that.
        again = [world.post(path, {**EMAIL, "client_secret": f"s{number}"}) for number in range(3)]
        if listed:
            assert [answer.status_code for answer in again] == [200, 200, 429]
        last = again[-1]
        assert last.json()["errcode"] == "M_LIMIT_EXCEEDED"
        assert last.json()["retry_after_ms"] > 0
        assert int(last.headers["Retry-After"]) > 0


# -- finding people


def test_any_spelling_of_an_address_finds_who_bound_it(world: World) -> None:
    published(world)
    published(world, PHONE, "@bob:example.org")
    for address in ("alice@example.com", "ALICE@EXAMPLE.COM", "Alice@example.com"):
        assert lookup(world, "email", address)["mxid"] == ALICE
    for number in ("447400123456", "+447400123456", "+44 7400 123456", "0044 7400 123456"):
        found = lookup(world, "msisdn", number)
        assert (found["mxid"], found["address"]) == ("@bob:example.org", "447400123456")
    for medium, nothing in (
        *(
            ("email", text)
            for text in ("", "alice", "bob@example.com", "447400123456", "alice @example.com", "x" * 500)
        ),
        *(("msisdn", text) for text in ("", "07400 123456", "alice@example.com", "447400123457", "+", "x" * 500)),
        *((medium, "alice@example.com") for medium in ("", "Email", "msisdn", "x" * 500)),
    ):
        assert lookup(world, medium, nothing) == {}


def test_many_are_found_at_once_as_they_were_asked_for(world: World) -> None:
    published(world)
    published(world, PHONE, "@bob:example.org")
    asked = [
        ["email", "ALICE@Example.com"],
        ["email", "nobody@example.com"],
        ["msisdn", "+44 7400 123456"],
        ["msisdn", "447400123456"],
        ["email", "nonsense"],
        ["pigeon", "alice@example.com"],
    ]
    found = world.post(f"{V1}/bulk_lookup", {"threepids": asked}).json()
    assert found == {
        "threepids": [
            ["email", "ALICE@Example.com", ALICE],
            ["msisdn", "+44 7400 123456", "@bob:example.org"],
            ["msisdn", "447400123456", "@bob:example.org"],
        ]
    }
    assert world.post(f"{V1}/bulk_lookup", {"threepids": []}).json() == {"threepids": []}
    for wrong in ([["email"]], [["email", "a", "b"]], ["email"], [{"medium": "email"}], "x", None, [["email", 1]]):
        assert 400 <= world.post(f"{V1}/bulk_lookup", {"threepids": wrong}).status_code < 500


def test_more_than_is_allowed_at_once_is_too_large(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, identity__v1=ALL_ON, identity__lookup_limit=2) as world:
        pairs = [["email", f"a{number}@example.com"] for number in range(3)]
        assert world.post(f"{V1}/bulk_lookup", {"threepids": pairs[:2]}).status_code == 200
        assert refusal(world.post(f"{V1}/bulk_lookup", {"threepids": pairs})) == (400, "M_TOO_LARGE")


# -- keys


@pytest.mark.parametrize("base", [V1, V2])
def test_a_key_is_recognised_however_its_base64_is_written(database_url: str, tmp_path: Path, base: str) -> None:
    seeds = (bytes([number]) * 32 for number in range(256))
    public_keys = ((seed, encode_base64(bytes(nacl.signing.SigningKey(seed).verify_key))) for seed in seeds)
    seed, key = next((seed, key) for seed, key in public_keys if "+" in key and "/" in key)
    import_keys(tmp_path / "keys", f"ed25519 0 {encode_base64(seed)}", HandClock())
    with World(database_url, tmp_path) as world:
        url_safe = key.replace("+", "-").replace("/", "_")
        for written in (quote(key, safe=""), key, url_safe, f"{url_safe}=", quote(f"{key}=", safe="")):
            assert world.get(f"{base}/pubkey/isvalid?public_key={written}").json() == {"valid": True}, written
        for other in (key[:-1], f"{key}A", key.swapcase(), "%00", "%C3%A4"):
            answer = world.get(f"{base}/pubkey/isvalid?public_key={other}")
            assert answer.json() == {"valid": False} or answer.status_code == 400, other
        for key_id in ("ed25519:1", "ed25519:", "0", "ed25519:0%00", "rsa:0", "ED25519:0"):
            assert world.get(f"{base}/pubkey/{key_id}").status_code == 404, key_id
