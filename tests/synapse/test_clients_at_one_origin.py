"""Clients that know nothing of threepid use it and Synapse through one nginx: matrix-nio, mautrix, and matrix-js-sdk in Node."""

import asyncio

import aiohttp
import nio  # type: ignore[import-untyped] # it has annotations, but does not say so
import pytest
from mautrix.api import HTTPAPI
from mautrix.client import Client
from mautrix.errors import MUnknownToken
from mautrix.types import RoomID, UserID

from authority import authority_file
from clients.test_matrix_js_sdk import Told
from clients.test_matrix_js_sdk_oauth import STEPS, tell
from federated_synapse import trust
from one_origin import PASSWORD, OneOrigin
from rig import wait_for

HELLO = {"msgtype": "m.text", "body": "Hello"}


def test_matrix_nio_lives_from_login_to_logout(origin: OneOrigin) -> None:
    origin.register("nia")

    async def story() -> None:
        client = nio.AsyncClient(origin.base, "nia", ssl=trust())
        try:
            login = await client.login(PASSWORD, device_name="nio")
            assert isinstance(login, nio.LoginResponse), login
            me = await client.whoami()
            assert (me.user_id, me.device_id) == (f"@nia:{origin.name}", login.device_id)
            room = await client.room_create(name="Garden")
            assert isinstance(room, nio.RoomCreateResponse), room
            sent = await client.room_send(room.room_id, "m.room.message", HELLO)
            assert isinstance(sent, nio.RoomSendResponse), sent
            synced = await client.sync(timeout=0, full_state=True)
            assert isinstance(synced, nio.SyncResponse), synced
            events = synced.rooms.join[room.room_id].timeline.events
            assert "Hello" in [getattr(event, "body", None) for event in events]
            token = client.access_token
            assert isinstance(await client.logout(), nio.LogoutResponse)
            assert await asyncio.to_thread(_dies, origin, token)
        finally:
            await client.close()

    asyncio.run(story())


def test_mautrix_lives_from_login_to_logout(origin: OneOrigin) -> None:
    origin.register("mau")

    async def story() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust())) as session:
            client = Client(api=HTTPAPI(origin.base, client_session=session))
            login = await client.login(UserID("mau"), password=PASSWORD, device_name="mautrix")
            me = await client.whoami()
            assert (me.user_id, me.device_id) == (f"@mau:{origin.name}", login.device_id)
            room_id = RoomID(await client.create_room(name="Garden"))
            await client.send_text(room_id, "Hello")
            synced = await client.sync(timeout=0)
            events = synced["rooms"]["join"][room_id]["timeline"]["events"]
            assert "Hello" in [event["content"].get("body") for event in events]
            token = login.access_token
            await client.logout()
            assert await asyncio.to_thread(_dies, origin, token)
            client.api.token = token
            with pytest.raises(MUnknownToken):
                await client.whoami()

    asyncio.run(story())


def _dies(origin: OneOrigin, token: str) -> bool:
    return bool(wait_for(lambda: origin.is_dead(token), 20, what="the end of the token"))


@pytest.fixture(scope="module")
def told(origin: OneOrigin) -> Told:
    return tell(origin.base, origin.threepid, NODE_EXTRA_CA_CERTS=authority_file())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", STEPS)
def test_an_app_on_todays_matrix_js_sdk_can(told: Told, step: str) -> None:
    """Also the device authorization grant, and single sign-on of the old login."""
    if f"ok {step}" not in told.lines:
        pytest.fail(told.why(step), pytrace=False)
