"""matrix-nio does with accounts what it can, and sends the rest through its own transport."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import nio  # type: ignore[import-untyped] # it has annotations, but does not say so

from clients.people import (
    NEW_PASSWORD,
    PASSWORD,
    SECRET,
    Crowd,
    Phone,
    by_contact,
    by_email,
    by_password,
    by_phone,
    fresh_email,
    fresh_name,
    fresh_phone,
    hashed,
    teller,
)
from clients.post import Post
from rig import ServerProcess

ACCOUNT = "/_matrix/client/v3/account"
IDENTITY = "/_matrix/identity/v2"


@dataclass
class Answer(nio.Response):  # type: ignore[misc] # see the import
    """An answer that the library has no class for."""

    content: dict[str, Any]

    @classmethod
    def from_dict(cls, parsed_dict: dict[str, Any]) -> Any:
        return nio.ErrorResponse.from_dict(parsed_dict) if "errcode" in parsed_dict else cls(parsed_dict)


class People(Crowd):
    """With clients of the library, all of which are closed at the end."""

    def client(self, user: str = "", token: str = "") -> Any:
        client = nio.AsyncClient(self.base, user)
        client.access_token = token
        self.stack.push_async_callback(client.close)
        return client

    async def somebody(self) -> Any:
        client = self.client()
        answer = await client.register(fresh_name(), PASSWORD, device_name="Laptop")
        assert isinstance(answer, nio.RegisterResponse), answer
        return client

    async def log_in(self, user_id: str, password: str = PASSWORD) -> Any:
        client = self.client(user_id)
        answer = await client.login(password, device_name="Phone")
        assert isinstance(answer, nio.LoginResponse), answer
        return client

    async def add_email(self, client: Any, address: str) -> None:
        asked = {"client_secret": SECRET, "email": address, "send_attempt": 1}
        sid = (await ok(client, "POST", f"{ACCOUNT}/3pid/email/requestToken", asked))["sid"]
        await asyncio.to_thread(self.post.confirm, address)
        await add(client, sid)

    async def request_sms(self, client: Any, path: str, phone: Phone) -> str:
        """The session that the texted code validated, at the place that the server named."""
        body = {
            "client_secret": SECRET,
            "country": phone.country,
            "phone_number": phone.national,
            "send_attempt": 1,
        }
        asked = await ok(client, "POST", path, body)
        code = await asyncio.to_thread(self.post.code, phone.msisdn)
        submitted = {"sid": asked["sid"], "client_secret": SECRET, "token": code}
        place = asked["submit_url"].removeprefix(self.base)
        assert await ok(self.client(), "POST", place, submitted) == {"success": True}
        return str(asked["sid"])

    async def add_phone(self, client: Any, phone: Phone) -> None:
        await add(client, await self.request_sms(client, f"{ACCOUNT}/3pid/msisdn/requestToken", phone))


async def ask(client: Any, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Through the library's transport: its address, token, retries and errors."""
    return await client._send(Answer, method, path, None if body is None else json.dumps(body))


async def ok(client: Any, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = await ask(client, method, path, body)
    assert isinstance(answer, Answer), answer
    assert answer.transport_response.status == 200, answer
    return answer.content


async def with_password(client: Any, path: str, body: dict[str, Any], password: str = PASSWORD) -> dict[str, Any]:
    """Asked for authentication, and then authenticated."""
    first = await ask(client, "POST", path, body)
    assert first.transport_response.status == 401, first
    assert {"stages": ["m.login.password"]} in first.content["flows"]
    session = first.content["session"]
    return await ok(client, "POST", path, {**body, "auth": by_password(client.user_id, password, session=session)})


async def add(client: Any, sid: str) -> None:
    assert await with_password(client, f"{ACCOUNT}/3pid/add", {"sid": sid, "client_secret": SECRET}) == {}


async def contacts(client: Any) -> list[tuple[str, str]]:
    found = await ok(client, "GET", f"{ACCOUNT}/3pid")
    return [(threepid["medium"], threepid["address"]) for threepid in found["threepids"]]


async def is_out(client: Any) -> bool:
    answer = await client.whoami()
    return isinstance(answer, nio.WhoamiError) and answer.status_code == "M_UNKNOWN_TOKEN" and not answer.soft_logout


told = teller(People)


@told
async def test_it_finds_out_what_the_server_can_do(crowd: People) -> None:
    info = await crowd.client().login_info()
    assert isinstance(info, nio.LoginInfoResponse), info
    assert "m.login.password" in info.flows
    assert "v1.11" in (await ok(crowd.client(), "GET", "/_matrix/client/versions"))["versions"]


@told
async def test_it_discovers_the_server(crowd: People) -> None:
    found = await crowd.client().discovery_info()
    assert isinstance(found, nio.DiscoveryInfoResponse), found
    assert found.homeserver_url.rstrip("/") == crowd.base
    assert found.identity_server_url.rstrip("/") == crowd.base


@told
async def test_it_registers_and_knows_who_it_is(crowd: People) -> None:
    client = await crowd.somebody()
    me = await client.whoami()
    assert isinstance(me, nio.WhoamiResponse), me
    assert (me.user_id, me.device_id, me.is_guest) == (client.user_id, client.device_id, False)
    name = client.user_id.partition(":")[0].removeprefix("@")
    again = await crowd.client().register(name, PASSWORD)
    assert isinstance(again, nio.ErrorResponse)
    assert again.status_code == "M_USER_IN_USE"


@told
async def test_it_registers_with_an_email_address(crowd: People) -> None:
    address, name, client = fresh_email(), fresh_name(), crowd.client()
    first = await client.register_interactive(name, PASSWORD, {"initial_device_display_name": "x"})
    assert isinstance(first, nio.responses.RegisterInteractiveResponse), first
    asked = {"client_secret": SECRET, "email": address, "send_attempt": 1}
    sid = (await ok(client, "POST", "/_matrix/client/v3/register/email/requestToken", asked))["sid"]
    await asyncio.to_thread(crowd.post.confirm, address)
    auth = {**by_contact("m.login.email.identity", sid), "session": first.session}
    method, path, data = nio.Api.register(name, PASSWORD, auth_dict=auth)
    answer = await client._send(nio.RegisterResponse, method, path, data)
    assert isinstance(answer, nio.RegisterResponse), answer
    assert await contacts(client) == [("email", address)]


def test_it_registers_with_a_token(invited_server: ServerProcess, post: Post) -> None:
    async def story(crowd: People) -> None:
        client, refused = crowd.client(), crowd.client()
        answer = await client.register_with_token(fresh_name(), PASSWORD, "welcome")
        assert isinstance(answer, nio.RegisterResponse), answer
        assert not await is_out(client)
        wrong = await refused.register_with_token(fresh_name(), PASSWORD, "guessed")
        assert isinstance(wrong, nio.ErrorResponse)

    teller(People)(story)(invited_server, post)


@told
async def test_it_logs_in_by_name_e_mail_and_phone(crowd: People) -> None:
    client, address, phone = await crowd.somebody(), fresh_email(), fresh_phone()
    await crowd.add_email(client, address)
    # With an address for a name the library takes the form for email addresses by itself.
    for user in (client.user_id, client.user_id.partition(":")[0].removeprefix("@"), address):
        assert (await crowd.log_in(user)).user_id == client.user_id
    await crowd.add_phone(client, phone)
    for identifier in (by_email(address), by_phone(phone)):
        raw = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        answer = await crowd.client().login_raw(raw)
        assert isinstance(answer, nio.LoginResponse), answer
        assert answer.user_id == client.user_id
    wrong = await crowd.client(client.user_id).login("wrong password")
    assert isinstance(wrong, nio.LoginError)
    assert wrong.status_code == "M_FORBIDDEN"


@told
async def test_an_email_address_comes_and_goes(crowd: People) -> None:
    client, address = await crowd.somebody(), fresh_email()
    await crowd.add_email(client, address)
    assert await contacts(client) == [("email", address)]
    await ok(client, "POST", f"{ACCOUNT}/3pid/delete", {"medium": "email", "address": address})
    assert await contacts(client) == []


@told
async def test_a_phone_number_comes_and_goes(crowd: People) -> None:
    client, phone = await crowd.somebody(), fresh_phone()
    await crowd.add_phone(client, phone)
    assert await contacts(client) == [("msisdn", phone.msisdn)]
    await ok(client, "POST", f"{ACCOUNT}/3pid/delete", {"medium": "msisdn", "address": phone.msisdn})
    assert await contacts(client) == []


async def identity_client(crowd: People, client: Any) -> Any:
    """A client of the identity server, with a token that the homeserver vouched for."""
    openid = await client.get_openid_token(client.user_id)
    assert isinstance(openid, nio.GetOpenIDTokenResponse), openid
    vouched = {
        "access_token": openid.access_token,
        "expires_in": openid.expires_in,
        "matrix_server_name": openid.matrix_server_name,
        "token_type": openid.token_type,
    }
    token = (await ok(crowd.client(), "POST", f"{IDENTITY}/account/register", vouched))["token"]
    return crowd.client(token=token)


@told
async def test_an_email_address_is_bound_and_unbound(crowd: People) -> None:
    client, address = await crowd.somebody(), fresh_email()
    identity = await identity_client(crowd, client)
    asked = {"client_secret": SECRET, "email": address, "send_attempt": 1}
    sid = (await ok(identity, "POST", f"{IDENTITY}/validate/email/requestToken", asked))["sid"]
    await asyncio.to_thread(crowd.post.confirm, address)
    id_server = crowd.base.partition("//")[2]
    creds = {"sid": sid, "client_secret": SECRET, "id_server": id_server, "id_access_token": identity.access_token}
    assert await ok(client, "POST", f"{ACCOUNT}/3pid/bind", creds) == {}
    pepper = (await ok(identity, "GET", f"{IDENTITY}/hash_details"))["lookup_pepper"]
    lookup = {"addresses": [hashed(address, pepper)], "algorithm": "sha256", "pepper": pepper}
    found = await ok(identity, "POST", f"{IDENTITY}/lookup", lookup)
    assert list(found["mappings"].values()) == [client.user_id]
    given = {"medium": "email", "address": address, "id_server": id_server}
    unbound = await ok(client, "POST", f"{ACCOUNT}/3pid/unbind", given)
    assert unbound == {"id_server_unbind_result": "success"}
    found = await ok(identity, "POST", f"{IDENTITY}/lookup", lookup)
    assert found["mappings"] == {}


@told
async def test_the_password_is_changed(crowd: People) -> None:
    client = await crowd.somebody()
    other = await crowd.log_in(client.user_id)
    await with_password(client, f"{ACCOUNT}/password", {"new_password": NEW_PASSWORD})
    assert await is_out(other)
    assert not await is_out(client)
    await crowd.log_in(client.user_id, NEW_PASSWORD)


@told
async def test_a_forgotten_password_is_reset(crowd: People) -> None:
    client, address = await crowd.somebody(), fresh_email()
    await crowd.add_email(client, address)
    nobody = crowd.client()
    asked = {"client_secret": SECRET, "email": address, "send_attempt": 2}
    sid = (await ok(nobody, "POST", f"{ACCOUNT}/password/email/requestToken", asked))["sid"]
    await asyncio.to_thread(crowd.post.confirm, address)
    body = {"new_password": NEW_PASSWORD, "auth": by_contact("m.login.email.identity", sid)}
    assert await ok(nobody, "POST", f"{ACCOUNT}/password", body) == {}
    assert await is_out(client)
    client = await crowd.log_in(client.user_id, NEW_PASSWORD)


@told
async def test_devices_are_listed_renamed_and_deleted(crowd: People) -> None:
    client = await crowd.somebody()
    other = await crowd.log_in(client.user_id)
    listed = await client.devices()
    assert isinstance(listed, nio.DevicesResponse), listed
    assert {device.id: device.display_name for device in listed.devices} == {
        client.device_id: "Laptop",
        other.device_id: "Phone",
    }
    renamed = await client.update_device(other.device_id, {"display_name": "Old phone"})
    assert isinstance(renamed, nio.UpdateDeviceResponse), renamed
    first = await client.delete_devices([other.device_id])
    assert isinstance(first, nio.DeleteDevicesAuthResponse), first
    auth = by_password(client.user_id, session=first.session)
    deleted = await client.delete_devices([other.device_id], auth)
    assert isinstance(deleted, nio.DeleteDevicesResponse), deleted
    assert await is_out(other)


@told
async def test_a_device_without_a_name_is_listed(crowd: People) -> None:
    client = crowd.client()
    await client.register(fresh_name(), PASSWORD)
    listed = await client.devices()
    assert isinstance(listed, nio.DevicesResponse), listed
    assert [device.id for device in listed.devices] == [client.device_id]


@told
async def test_it_has_a_profile(crowd: People) -> None:
    client = await crowd.somebody()
    assert isinstance(await client.set_displayname("Alice Åström"), nio.ProfileSetDisplayNameResponse)
    assert isinstance(await client.set_avatar("mxc://example.org/cat"), nio.ProfileSetAvatarResponse)
    profile = await crowd.client().get_profile(client.user_id)
    assert (profile.displayname, profile.avatar_url) == ("Alice Åström", "mxc://example.org/cat")
    assert (await client.get_displayname()).displayname == "Alice Åström"
    assert (await client.get_avatar()).avatar_url == "mxc://example.org/cat"


@told
async def test_it_syncs_until_it_is_logged_out(crowd: People) -> None:
    client = await crowd.somebody()
    other = await crowd.log_in(client.user_id)
    first = await other.sync()
    assert isinstance(first, nio.SyncResponse), first
    assert first.rooms.join == {}
    waiting = asyncio.create_task(other.sync(timeout=30_000))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    auth = by_password(client.user_id)
    assert isinstance(await client.delete_devices([other.device_id], auth), nio.DeleteDevicesResponse)
    ended = await asyncio.wait_for(waiting, 20)
    assert isinstance(ended, nio.SyncError)
    assert ended.status_code == "M_UNKNOWN_TOKEN"


@told
async def test_it_syncs_with_a_filter(crowd: People) -> None:
    client = await crowd.somebody()
    uploaded = await client.upload_filter(room={"timeline": {"limit": 1}})
    assert isinstance(uploaded, nio.UploadFilterResponse), uploaded
    assert isinstance(await client.sync(sync_filter=uploaded.filter_id), nio.SyncResponse)
    assert isinstance(await client.sync(sync_filter={"room": {"timeline": {"limit": 1}}}), nio.SyncResponse)


@told
async def test_it_logs_out_here_and_everywhere(crowd: People) -> None:
    client = await crowd.somebody()
    other, third = await crowd.log_in(client.user_id), await crowd.log_in(client.user_id)
    token = other.access_token
    assert isinstance(await other.logout(), nio.LogoutResponse)
    assert await is_out(crowd.client(token=token))
    assert not await is_out(third)
    assert isinstance(await client.logout(all_devices=True), nio.LogoutResponse)
    assert await is_out(third)


@told
async def test_it_deactivates(crowd: People) -> None:
    client = await crowd.somebody()
    answer = await with_password(client, f"{ACCOUNT}/deactivate", {"erase": True})
    assert answer["id_server_unbind_result"] in {"success", "no-support"}
    assert await is_out(client)
    again = await crowd.client(client.user_id).login(PASSWORD)
    assert isinstance(again, nio.LoginError)
    assert again.status_code == "M_FORBIDDEN"
