"""mautrix does with accounts what it can, and sends the rest through its own transport."""

import asyncio
import json
from typing import Any, cast

import pytest
from mautrix.api import HTTPAPI, Method, Path
from mautrix.client import Client, InternalEventType
from mautrix.errors import MatrixUnknownRequestError, MForbidden, MNotFound, MUnknownToken, MUserInUse
from mautrix.types import (
    ContentURI,
    Filter,
    LoginType,
    PhoneIdentifier,
    RoomEventFilter,
    RoomFilter,
    SpecVersions,
    ThirdPartyIdentifier,
    UserID,
    UserIdentifier,
)

from clients.people import (
    NEW_PASSWORD,
    PASSWORD,
    SECRET,
    Crowd,
    Phone,
    by_contact,
    by_password,
    fresh_email,
    fresh_name,
    fresh_phone,
    hashed,
    teller,
)

CLIENT = "/_matrix/client/v3"
ACCOUNT = f"{CLIENT}/account"
IDENTITY = "/_matrix/identity/v2"


class People(Crowd):
    """With clients of the library, all of which are closed at the end."""

    def api(self, token: str = "") -> HTTPAPI:
        api = HTTPAPI(self.base, token)
        self.stack.push_async_callback(api.session.close)
        return api

    def client(self) -> Client:
        return Client(api=self.api())

    async def somebody(self, **more: Any) -> Client:
        client = self.client()
        body = {"username": fresh_name(), "password": PASSWORD, "initial_device_display_name": "Laptop", **more}
        first = await asked_to_authenticate(client.api, f"{CLIENT}/register", body)
        assert {"stages": ["m.login.dummy"]} in first["flows"]
        body["auth"] = {"type": "m.login.dummy", "session": first["session"]}
        return use(client, await ask(client.api, f"{CLIENT}/register", body))

    async def log_in(self, user_id: str, password: str = PASSWORD) -> Client:
        client = self.client()
        answer = await client.login(UserID(user_id), password=password, device_name="Phone")
        assert client.mxid == answer.user_id
        return client

    async def add_email(self, client: Client, address: str) -> None:
        asked = {"client_secret": SECRET, "email": address, "send_attempt": 1}
        sid = (await ask(client.api, f"{ACCOUNT}/3pid/email/requestToken", asked))["sid"]
        await asyncio.to_thread(self.post.confirm, address)
        await add(client, sid)

    async def add_phone(self, client: Client, phone: Phone) -> None:
        await add(client, await self.request_sms(client.api, f"{ACCOUNT}/3pid/msisdn/requestToken", phone))

    async def request_sms(self, api: HTTPAPI, path: str, phone: Phone, attempt: int = 1) -> str:
        """The session that the texted code validated, at the place that the server named."""
        body = {
            "client_secret": SECRET,
            "country": phone.country,
            "phone_number": phone.national,
            "send_attempt": attempt,
        }
        asked = await ask(api, path, body)
        code = await asyncio.to_thread(self.post.code, phone.msisdn)
        submitted = {"sid": asked["sid"], "client_secret": SECRET, "token": code}
        place = asked["submit_url"].removeprefix(self.base)
        assert await ask(self.api(), place, submitted) == {"success": True}
        return str(asked["sid"])


def use(client: Client, login: dict[str, Any]) -> Client:
    client.mxid = login["user_id"]
    client.device_id = login["device_id"]
    client.api.token = login["access_token"]
    return client


async def ask(api: HTTPAPI, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Through the library's transport: its address, token and errors."""
    return cast(dict[str, Any], await api.request(Method.POST, path, body))


async def asked_to_authenticate(api: HTTPAPI, path: str, body: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(MatrixUnknownRequestError) as refusal:
        await ask(api, path, body)
    assert refusal.value.http_status == 401
    return cast(dict[str, Any], json.loads(refusal.value.text))


async def with_password(client: Client, path: str, body: dict[str, Any], password: str = PASSWORD) -> dict[str, Any]:
    session = (await asked_to_authenticate(client.api, path, body))["session"]
    return await ask(client.api, path, {**body, "auth": by_password(client.mxid, password, session=session)})


async def add(client: Client, sid: str) -> None:
    assert await with_password(client, f"{ACCOUNT}/3pid/add", {"sid": sid, "client_secret": SECRET}) == {}


async def contacts(client: Client) -> list[tuple[str, str]]:
    found = cast(dict[str, Any], await client.api.request(Method.GET, Path.v3.account["3pid"]))
    return [(threepid["medium"], threepid["address"]) for threepid in found["threepids"]]


async def is_out(client: Client) -> bool:
    try:
        await client.whoami()
    except MUnknownToken:
        return True
    return False


told = teller(People)


@told
async def test_it_finds_out_what_the_server_can_do(crowd: People) -> None:
    client = crowd.client()
    assert (await client.get_login_flows()).supports_type(LoginType.PASSWORD)
    assert (await client.versions()).supports(SpecVersions.V111)


@told
async def test_it_registers_and_knows_who_it_is(crowd: People) -> None:
    client = await crowd.somebody()
    me = await client.whoami()
    assert (me.user_id, me.device_id, me.is_guest) == (client.mxid, client.device_id, False)
    with pytest.raises(MUserInUse):
        await ask(crowd.api(), f"{CLIENT}/register", {"username": client.localpart, "password": PASSWORD})


@told
async def test_it_registers_with_an_email_address(crowd: People) -> None:
    client, address = crowd.client(), fresh_email()
    body = {"username": fresh_name(), "password": PASSWORD}
    first = await asked_to_authenticate(client.api, f"{CLIENT}/register", body)
    assert {"stages": ["m.login.email.identity"]} in first["flows"]
    asked = {"client_secret": SECRET, "email": address, "send_attempt": 1}
    sid = (await ask(client.api, f"{CLIENT}/register/email/requestToken", asked))["sid"]
    await asyncio.to_thread(crowd.post.confirm, address)
    auth = {**by_contact("m.login.email.identity", sid), "session": first["session"]}
    use(client, await ask(client.api, f"{CLIENT}/register", {**body, "auth": auth}))
    assert await contacts(client) == [("email", address)]


@told
async def test_it_logs_in_by_name_e_mail_and_phone(crowd: People) -> None:
    client, address, phone = await crowd.somebody(), fresh_email(), fresh_phone()
    for user in (client.mxid, client.localpart):
        assert (await crowd.log_in(user)).mxid == client.mxid
    with pytest.raises(MForbidden):
        await crowd.log_in(client.mxid, "wrong password")
    await crowd.add_email(client, address)
    other = crowd.client()
    await other.login(cast(UserIdentifier, ThirdPartyIdentifier("email", address)), password=PASSWORD)
    assert other.mxid == client.mxid
    await crowd.add_phone(client, phone)
    third = crowd.client()
    await third.login(cast(UserIdentifier, PhoneIdentifier(phone.country, phone.national)), password=PASSWORD)
    assert third.mxid == client.mxid


@told
async def test_a_device_that_logs_in_again_is_the_same(crowd: People) -> None:
    client = await crowd.somebody()
    old = client.api.token
    # The library names its device by itself.
    await client.login(password=PASSWORD)
    assert client.api.token != old
    devices = cast(dict[str, Any], await client.api.request(Method.GET, Path.v3.devices))["devices"]
    assert [device["device_id"] for device in devices] == [client.device_id]


@told
async def test_an_email_address_comes_and_goes(crowd: People) -> None:
    client, address = await crowd.somebody(), fresh_email()
    await crowd.add_email(client, address)
    assert await contacts(client) == [("email", address)]
    await ask(client.api, f"{ACCOUNT}/3pid/delete", {"medium": "email", "address": address})
    assert await contacts(client) == []


@told
async def test_a_phone_number_comes_and_goes(crowd: People) -> None:
    client, phone = await crowd.somebody(), fresh_phone()
    await crowd.add_phone(client, phone)
    assert await contacts(client) == [("msisdn", phone.msisdn)]
    await ask(client.api, f"{ACCOUNT}/3pid/delete", {"medium": "msisdn", "address": phone.msisdn})
    assert await contacts(client) == []


async def identity_api(crowd: People, client: Client) -> HTTPAPI:
    """The identity server, with a token that the homeserver vouched for."""
    openid = await ask(client.api, str(Path.v3.user[client.mxid].openid.request_token), {})
    return crowd.api((await ask(crowd.api(), f"{IDENTITY}/account/register", openid))["token"])


@told
async def test_a_phone_number_is_bound_and_unbound(crowd: People) -> None:
    client, phone = await crowd.somebody(), fresh_phone()
    identity = await identity_api(crowd, client)
    body = {
        "client_secret": SECRET,
        "country": phone.country,
        "phone_number": phone.national,
        "send_attempt": 1,
    }
    sid = (await ask(identity, f"{IDENTITY}/validate/msisdn/requestToken", body))["sid"]
    code = await asyncio.to_thread(crowd.post.code, phone.msisdn)
    submitted = {"sid": sid, "client_secret": SECRET, "token": code}
    assert await ask(identity, f"{IDENTITY}/validate/msisdn/submitToken", submitted) == {"success": True}
    id_server = crowd.base.partition("//")[2]
    creds = {"sid": sid, "client_secret": SECRET, "id_server": id_server, "id_access_token": identity.token}
    assert await ask(client.api, f"{ACCOUNT}/3pid/bind", creds) == {}
    details = cast(dict[str, Any], await identity.request(Method.GET, f"{IDENTITY}/hash_details"))
    pepper = details["lookup_pepper"]
    lookup = {"addresses": [hashed(phone.msisdn, pepper, "msisdn")], "algorithm": "sha256", "pepper": pepper}
    assert list((await ask(identity, f"{IDENTITY}/lookup", lookup))["mappings"].values()) == [client.mxid]
    given = {"medium": "msisdn", "address": phone.msisdn, "id_server": id_server}
    unbound = await ask(client.api, f"{ACCOUNT}/3pid/unbind", given)
    assert unbound == {"id_server_unbind_result": "success"}
    assert (await ask(identity, f"{IDENTITY}/lookup", lookup))["mappings"] == {}


@told
async def test_the_password_is_changed(crowd: People) -> None:
    client = await crowd.somebody()
    other = await crowd.log_in(client.mxid)
    await with_password(client, f"{ACCOUNT}/password", {"new_password": NEW_PASSWORD, "logout_devices": False})
    assert not await is_out(other)
    await with_password(client, f"{ACCOUNT}/password", {"new_password": PASSWORD}, NEW_PASSWORD)
    assert await is_out(other)
    await crowd.log_in(client.mxid)


@told
async def test_a_forgotten_password_is_reset_by_e_mail(crowd: People) -> None:
    client, address, nobody = await crowd.somebody(), fresh_email(), crowd.api()
    await crowd.add_email(client, address)
    asked = {"client_secret": SECRET, "email": address, "send_attempt": 2}
    sid = (await ask(nobody, f"{ACCOUNT}/password/email/requestToken", asked))["sid"]
    await asyncio.to_thread(crowd.post.confirm, address)
    body = {"new_password": NEW_PASSWORD, "auth": by_contact("m.login.email.identity", sid)}
    assert await ask(nobody, f"{ACCOUNT}/password", body) == {}
    assert await is_out(client)
    await crowd.log_in(client.mxid, NEW_PASSWORD)


@told
async def test_a_forgotten_password_is_reset_by_phone(crowd: People) -> None:
    client, phone, nobody = await crowd.somebody(), fresh_phone(), crowd.api()
    await crowd.add_phone(client, phone)
    sid = await crowd.request_sms(nobody, f"{ACCOUNT}/password/msisdn/requestToken", phone, attempt=2)
    body = {"new_password": NEW_PASSWORD, "auth": by_contact("m.login.msisdn", sid)}
    assert await ask(nobody, f"{ACCOUNT}/password", body) == {}
    await crowd.log_in(client.mxid, NEW_PASSWORD)


@told
async def test_devices_are_listed_renamed_and_deleted(crowd: People) -> None:
    client = await crowd.somebody()
    other = await crowd.log_in(client.mxid)
    place = Path.v3.devices[other.device_id]
    await client.api.request(Method.PUT, place, {"display_name": "Old phone"})
    listed = cast(dict[str, Any], await client.api.request(Method.GET, Path.v3.devices))["devices"]
    assert {device["device_id"]: device["display_name"] for device in listed} == {
        client.device_id: "Laptop",
        other.device_id: "Old phone",
    }
    with pytest.raises(MatrixUnknownRequestError) as refusal:
        await client.api.request(Method.DELETE, place)
    session = json.loads(refusal.value.text)["session"]
    await client.api.request(Method.DELETE, place, {"auth": by_password(client.mxid, session=session)})
    assert await is_out(other)
    with pytest.raises(MNotFound):
        await client.api.request(Method.GET, place)


@told
async def test_it_has_a_profile(crowd: People) -> None:
    client = await crowd.somebody()
    await client.set_displayname("Alice Åström")
    await client.set_avatar_url(ContentURI("mxc://example.org/cat"))
    profile = await crowd.client().get_profile(client.mxid)
    assert (profile.displayname, profile.avatar_url) == ("Alice Åström", "mxc://example.org/cat")
    assert await client.get_displayname(client.mxid) == "Alice Åström"
    assert await client.get_avatar_url(client.mxid) == "mxc://example.org/cat"
    await client.set_displayname("")
    assert not await client.get_displayname(client.mxid)


@told
async def test_it_syncs_until_it_is_logged_out(crowd: People) -> None:
    client = await crowd.somebody()
    other = await crowd.log_in(client.mxid)
    synced, stopped = asyncio.Event(), asyncio.Event()
    reasons = []

    async def on_sync(_event: Any) -> None:
        synced.set()

    async def on_stop(event: Any) -> None:
        reasons.append(event["error"])
        stopped.set()

    other.add_event_handler(InternalEventType.SYNC_SUCCESSFUL, on_sync)
    other.add_event_handler(InternalEventType.SYNC_STOPPED, on_stop)
    task = other.start(Filter(room=RoomFilter(timeline=RoomEventFilter(limit=1))))
    await asyncio.wait_for(synced.wait(), 60)
    await asyncio.sleep(0.2)
    assert not task.done()
    await client.logout_all()
    await asyncio.wait_for(stopped.wait(), 20)
    assert isinstance(reasons[0], MUnknownToken)


@told
async def test_it_logs_out_here_and_everywhere(crowd: People) -> None:
    client = await crowd.somebody()
    other, third = await crowd.log_in(client.mxid), await crowd.log_in(client.mxid)
    await other.logout(clear_access_token=False)
    assert await is_out(other)
    assert not await is_out(third)
    await client.logout_all(clear_access_token=False)
    assert await is_out(client)
    assert await is_out(third)


@told
async def test_it_deactivates(crowd: People) -> None:
    client = await crowd.somebody()
    answer = await with_password(client, f"{ACCOUNT}/deactivate", {"erase": True})
    assert answer["id_server_unbind_result"] in {"success", "no-support"}
    assert await is_out(client)
    with pytest.raises(MForbidden):
        await crowd.log_in(client.mxid)
