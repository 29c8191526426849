"""A58: what a homeserver is to be told survives everything, is not told endlessly, and leads nowhere inside."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_homeserver import ON_BIND, TOLD, FakeHomeserver, homeserver
from fake_identity_server import HANG
from rig import ServerProcess, identity_token, register, request_token, sink, wait_for
from threepid.clock import DAY, HOUR, MINUTE
from threepid.storage import mailbox, outbox
from world import World

STORE = "/_matrix/identity/v2/store-invite"
V1 = "/_matrix/identity/api/v1"
BIND = "/_matrix/identity/v2/3pid/bind"
GUEST = "guest@example.net"
PENDING = "SELECT COUNT(*) FROM outbox WHERE channel = 'onbind' AND sent_at IS NULL AND failed_at IS NULL"


def invite(http: httpx.Client, token: str, sender: str, address: str = GUEST) -> str:
    request = {"medium": "email", "address": address, "room_id": "!r:example.org", "sender": sender}
    answer = http.post(STORE, json=request, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


class Killed:
    """A real server, its database file, and the homeserver that it is to tell."""

    def __init__(self, directory: Path, elsewhere: FakeHomeserver, relay_port: int) -> None:
        outbound = f'[outbound]\nallow = ["127.0.0.0/8", "::1"]\nca_file = "{elsewhere.ca_file}"\n'
        via = f'{{ transport = "smtp", host = "127.0.0.1", port = {relay_port}, tls = "plain" }}'
        self.server = ServerProcess(directory / "server", tables=outbound, via=via)
        self.elsewhere = elsewhere
        self.database = directory / "server" / "data" / "threepid.db"

    def end(self) -> None:
        """Nothing of it stays behind, whatever went wrong."""
        if self.server.process is not None and self.server.process.poll() is None:
            self.server.kill()

    def query(self, statement: str) -> Any:
        with closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            return connection.execute(statement).fetchone()

    def pending(self) -> int:
        return int(self.query(PENDING)[0])

    def an_hour_later(self) -> None:
        """The pause is over, and so is the lease of a worker that died."""
        with closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            connection.execute("UPDATE outbox SET due_at = 0 WHERE channel = 'onbind' AND sent_at IS NULL")


def test_five_kills_while_the_homeserver_is_down_lose_nothing_and_it_is_told_once(tmp_path: Path) -> None:
    with homeserver() as elsewhere, sink() as (taken, relay_port), ExitStack() as stack:
        rig = Killed(tmp_path, elsewhere, relay_port)
        stack.callback(rig.end)
        rig.server.start()
        with rig.server.client() as http:
            alice = identity_token(http, register(http, "alice"))
            sender = f"@alice:localhost:{rig.server.port}"
            tokens = [invite(http, alice, sender) for _ in range(3)]
            guest = http.post("/_matrix/identity/v2/account/register", json=elsewhere.openid("guest")).json()["token"]
            sid = request_token(http, guest, GUEST).json()["sid"]
            code = wait_for(lambda: [mail for mail in taken.mails if "/confirm/" in mail.text])[0]
            assert http.post(code.path).status_code == 200
            elsewhere.stop()
            request = {"sid": sid, "client_secret": "secret", "mxid": elsewhere.user_id("guest")}
            bound = http.post(BIND, json=request, headers={"Authorization": f"Bearer {guest}"})
            assert bound.status_code == 200, bound.text
        told = 0
        for number in range(5):
            if number < 2:  # nobody answers
                attempts = "SELECT MAX(attempts) FROM outbox WHERE channel = 'onbind'"
                wait_for(lambda least=number: rig.query(attempts)[0] > least, what="a try")
            else:  # it takes the call and says nothing
                wait_for(lambda least=told: len(elsewhere.told) > least, what="a call of the homeserver")
            rig.server.kill()
            told = len(elsewhere.told)
            assert rig.pending() == 1
            assert rig.query("SELECT COUNT(*) FROM invites WHERE delivered_at IS NULL")[0] == 3
            if number == 1:
                elsewhere.replies[ON_BIND] = HANG
                elsewhere.start()
            rig.an_hour_later()
            rig.server.start()
        rig.server.kill()
        elsewhere.stop()
        elsewhere.replies[ON_BIND] = TOLD
        elsewhere.start()
        asked_before = len(elsewhere.told)
        rig.an_hour_later()
        rig.server.start()
        wait_for(lambda: rig.pending() == 0, what="the last call")
        assert rig.query("SELECT COUNT(*) FROM invites WHERE delivered_at IS NOT NULL")[0] == 3
        assert len(elsewhere.told) == asked_before + 1
        bodies = [asked.body for asked in elsewhere.told]
        assert bodies == [bodies[0]] * len(bodies)
        assert sorted(one["signed"]["token"] for one in bodies[0]["invites"]) == sorted(tokens)
        assert rig.query("PRAGMA integrity_check")[0] == "ok"
        assert rig.server.stop() == 0


# -- in the test world


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[FakeHomeserver]:
    with homeserver() as made:
        yield made


def open_world(database_url: str, tmp_path: Path, elsewhere: FakeHomeserver, **more: Any) -> World:
    """With the old API on, in which the name of the server is whatever a stranger wants."""
    changes = {"identity__v1__bind": True, "identity__v1__validate": True, **elsewhere.settings, **more}
    return World(database_url, tmp_path, **changes)


def store(world: World, address: str = GUEST) -> None:
    request = {"medium": "email", "address": address, "room_id": "!r:example.org", "sender": "@a:example.org"}
    assert world.post(f"{V1}/store-invite", request).status_code == 200


def session(world: World, address: str = GUEST, *, secret: str = "secret") -> dict[str, str]:
    """A validated session of nobody's."""
    world.clock.advance(1)  # the newest mail is the one with the link
    request = {"email": address, "client_secret": secret, "send_attempt": 1}
    sid = world.post(f"{V1}/validate/email/requestToken", request).json()["sid"]
    assert world.post(world.mail().link, b"").status_code == 200
    return {"sid": sid, "client_secret": secret}


def bind(world: World, mxid: str, address: str = GUEST) -> None:
    answer = world.post(f"{V1}/3pid/bind", {**session(world, address), "mxid": mxid})
    assert answer.status_code == 200, answer.text


def waiting(world: World) -> int:
    return world.run(world.server.context.database.read(outbox.depth))


@pytest.mark.parametrize(
    "server", ["127.0.0.1:{port}", "[::1]:{port}", "localhost:{port}", "127.0.0.1:25", "[::ffff:127.0.0.1]:{port}"]
)
def test_a_user_ids_server_leads_to_no_address_inside(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver, server: str
) -> None:
    with open_world(database_url, tmp_path, elsewhere, outbound__allow=[]) as world:
        store(world)
        bind(world, f"@guest:{server.format(port=elsewhere.port)}")
        world.run(world.server.worker.run_once())
        assert elsewhere.asked == []
        assert waiting(world) == 1


@pytest.mark.parametrize("mxid", ["@guest:", "@guest:a/b", "@guest:!", "@guest:x y.example", "@g:" + "a" * 300])
def test_what_names_no_server_is_refused_or_leads_nowhere(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver, mxid: str
) -> None:
    with open_world(database_url, tmp_path, elsewhere) as world:
        store(world)
        answer = world.post(f"{V1}/3pid/bind", {**session(world), "mxid": mxid})
        assert answer.status_code in {200, 400}
        world.run(world.server.worker.run_once())
        assert waiting(world) == 0
        assert elsewhere.told == []


def test_a_homeserver_that_redirects_is_not_followed(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    with open_world(database_url, tmp_path, elsewhere) as world:
        elsewhere.replies[ON_BIND] = (307, {})
        store(world)
        bind(world, elsewhere.user_id("guest"))
        world.run(world.server.worker.run_once())
        assert [asked.uri for asked in elsewhere.told] == [ON_BIND]
        assert waiting(world) == 1


def test_a_homeserver_that_hangs_keeps_no_mail_waiting_and_is_called_once_at_a_time(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    with open_world(database_url, tmp_path, elsewhere) as world:
        elsewhere.replies[ON_BIND] = (500, {})
        for number in range(12):
            store(world, f"v{number}@example.net")
            bind(world, elsewhere.user_id("guest"), f"v{number}@example.net")
        world.run(world.server.worker.run_once())
        assert len(elsewhere.told) == 1
        world.clock.advance(HOUR)
        elsewhere.replies[ON_BIND] = HANG
        called = len(elsewhere.told)
        store(world, "another@example.net")

        async def deliver() -> None:
            delivering = asyncio.create_task(world.server.worker.run_once())
            database, sent = world.server.context.database, set[str]()
            while "another@example.net" not in sent:
                await asyncio.sleep(0.01)
                sent = {mail.recipient for mail in await database.read(lambda tx: mailbox.newest(tx, 100))}
            while len(elsewhere.told) == called:
                await asyncio.sleep(0.01)
            assert not delivering.done()  # the homeserver hangs, and the mail is there
            await asyncio.to_thread(elsewhere.stop)
            await delivering

        world.run(deliver())
        assert len(elsewhere.told) == called + 1
        assert world.mails()[-1].recipient == "another@example.net"
        elsewhere.replies[ON_BIND] = TOLD
        elsewhere.start()
        for _ in range(40):
            world.clock.advance(10 * MINUTE)
            world.run(world.server.worker.run_once())
        assert waiting(world) == 0
        told = [one["signed"]["token"] for asked in elsewhere.told for one in asked.body["invites"]]
        assert len(set(told)) == 12


def test_what_cannot_be_told_for_seven_days_is_given_up(
    database_url: str, tmp_path: Path, elsewhere: FakeHomeserver
) -> None:
    with open_world(database_url, tmp_path, elsewhere) as world:
        elsewhere.stop()
        store(world)
        bind(world, elsewhere.user_id("guest"))
        pauses = []
        last = world.clock.now()
        start = last
        attempts = 0
        while world.clock.now() < start + 8 * DAY:
            world.run(world.server.worker.run_once())
            retried = world.server.worker.retried
            if retried > attempts:
                attempts = retried
                pauses.append(world.clock.now() - last)
                last = world.clock.now()
            world.clock.advance(5 * MINUTE)
        assert waiting(world) == 0
        assert max(pauses) <= 6 * HOUR + 10 * MINUTE
        assert 30 < attempts < 60
        assert world.server.worker.dropped == 1
