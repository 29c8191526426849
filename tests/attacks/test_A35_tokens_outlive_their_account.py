"""A35: what ends a session ends everything that could continue it, at once and in every process."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx
import msgspec
import pytest

from databases import Around
from pausing import pause_until
from threepid.domain.accounts.devices import Device, Login
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.openid import issue_openid_token
from threepid.domain.authentication import stages
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.grants import Grant
from threepid.domain.lifecycle.closing import Closing
from threepid.domain.lifecycle.recovery import Recovery
from threepid.domain.lifecycle.registration import NewAccount
from threepid.domain.validation.purposes import Consumer
from threepid.spec.errors import Forbidden, MatrixError, ThreepidAuthFailed, Unauthorized, UnknownToken
from threepid.spec.uia import PASSWORD as PASSWORD_STAGE
from threepid.spec.uia import AuthData, AuthenticationRequiredError, Flow, Operation
from threepid.storage.device_tokens import Requester
from threepid.storage.engine.database import Tx
from world import BASE, PASSWORD, World

C: Final = "/_matrix/client/v3"
ALICE: Final = "@alice:example.org"
NEW: Final = "another long password"
PHONE: Final = "07400 123456"
Ending = Callable[["Alice"], httpx.Response]


def password(word: str = PASSWORD) -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": ALICE}, "password": word}


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, sms__countries=["GB"]) as made:
        yield made


class Alice:
    """An account with two devices, two contacts, and everything by which somebody could go on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.registration: dict[str, Any] = {"username": "alice", "password": PASSWORD, "device_id": "THIS"}
        self.registration["refresh_token"] = True
        session = world.post(f"{C}/register", self.registration).json()["session"]
        self.registration["auth"] = {"type": "m.login.dummy", "session": session}
        self.this = world.post(f"{C}/register", self.registration).json()
        self.other = world.post(f"{C}/login", {**password(), "device_id": "OTHER", "refresh_token": True}).json()
        self.token = str(self.this["access_token"])
        self.identity = world.identity_token(self.token)
        world.add(self.token, world.validated(self.identity))
        self.add_phone()
        self.reset_by_mail = self.reset_proof("email", {"email": "alice@example.com"})
        self.reset_by_text = self.reset_proof("msisdn", {"country": "GB", "phone_number": PHONE})
        self.openid = world.post(f"{C}/user/{ALICE}/openid/request_token", token=self.token).json()
        self.login_token = world.post(
            "/_matrix/client/v1/login/get_token", {"auth": password()}, token=self.token
        ).json()["login_token"]
        self.uia = world.post(f"{C}/delete_devices", {"devices": ["NONE"]}, token=self.token).json()["session"]
        self.mails, self.texts = len(world.mails()), len(world.texts())

    def add_phone(self) -> None:
        sid = self.world.post(
            f"{C}/account/3pid/msisdn/requestToken",
            {"client_secret": "p", "country": "GB", "phone_number": PHONE, "send_attempt": 1},
            token=self.token,
        ).json()["sid"]
        self.submit(sid, "p", self.world.text().code)
        body = {"sid": sid, "client_secret": "p", "auth": password()}
        assert self.world.post(f"{C}/account/3pid/add", body, token=self.token).status_code == 200

    def reset_proof(self, medium: str, address: dict[str, str]) -> dict[str, Any]:
        """The stage of a validated session by which the password can be set."""
        body = {"client_secret": f"reset-{medium}", "send_attempt": 1, **address}
        self.world.clock.advance(1)
        sid = self.world.post(f"{C}/account/password/{medium}/requestToken", body).json()["sid"]
        code = self.world.mail_with_code().code if medium == "email" else self.world.text_with_code().code
        self.submit(sid, f"reset-{medium}", code)
        stage = "m.login.email.identity" if medium == "email" else "m.login.msisdn"
        return {"type": stage, "threepid_creds": {"sid": sid, "client_secret": f"reset-{medium}"}}

    def submit(self, sid: str, secret: str, code: str) -> None:
        body = {"sid": sid, "client_secret": secret, "token": code}
        assert self.world.post("/_threepid/client/v1/submit_token", body).json() == {"success": True}


# Each tells in one process whether something still works that was made in another.
PROBES: Final[dict[str, Callable[[Alice, World], bool]]] = {
    "this access token": lambda a, at: ok(at.get(f"{C}/account/whoami", token=a.token)),
    "this refresh token": lambda a, at: ok(at.post(f"{C}/refresh", {"refresh_token": a.this["refresh_token"]})),
    "other access token": lambda a, at: ok(at.get(f"{C}/account/whoami", token=a.other["access_token"])),
    "other refresh token": lambda a, at: ok(at.post(f"{C}/refresh", {"refresh_token": a.other["refresh_token"]})),
    "begun authentication": lambda a, at: ok(
        at.post(
            f"{C}/delete_devices",
            {"devices": ["NONE"], "auth": {**password(), "session": a.uia}},
            token=a.token,
        )
    ),
    "OpenID token": lambda a, at: ok(
        at.get(f"/_matrix/federation/v1/openid/userinfo?access_token={a.openid['access_token']}")
    ),
    "OpenID token at the identity server": lambda a, at: ok(at.post("/_matrix/identity/v2/account/register", a.openid)),
    "identity token": lambda a, at: ok(at.get("/_matrix/identity/v2/account", token=a.identity)),
    "proven mail": lambda a, at: proves(at, a.reset_by_mail),
    "proven phone": lambda a, at: proves(at, a.reset_by_text),
    "login token": lambda a, at: ok(at.post(f"{C}/login", {"type": "m.login.token", "token": a.login_token})),
    "finished registration": lambda a, at: ok(at.post(f"{C}/register", a.registration)),
}
THIS: Final = {"this access token", "this refresh token", "begun authentication"}
OTHER: Final = {"other access token", "other refresh token"}
OPENID: Final = {"OpenID token", "OpenID token at the identity server"}
OF_THIS: Final = OPENID | {"identity token", "login token"}
"""Got by this device: they end with it."""
RESETS: Final = {"proven mail", "proven phone"}


def ok(answer: httpx.Response) -> bool:
    assert answer.status_code in (200, 400, 401, 403), answer.text
    return answer.status_code == 200


def proves(at: World, stage: dict[str, Any]) -> bool:
    """Is the proof still taken, by a request that never gets its effect?"""
    request = stages.Request(
        task=stages.Task(Operation.CHANGE_PASSWORD),
        subject=None,
        flows=((stage["type"],),),
        consumer=Consumer.RESET_STAGE,
        client="192.0.2.1",
    )
    auth = AuthData(type=stage["type"], threepid_creds=stage["threepid_creds"])
    try:
        at.run(at.homeserver.uia.authenticate(request, auth))
    except AuthenticationRequiredError as error:
        if not isinstance(error.failure, ThreepidAuthFailed):
            raise
        return False
    return True


def change(alice: Alice, **more: Any) -> httpx.Response:
    body = {"new_password": NEW, "auth": password(), **more}
    return alice.world.post(f"{C}/account/password", body, token=alice.token)


def remove(alice: Alice, medium: str, address: str) -> httpx.Response:
    return alice.world.post(f"{C}/account/3pid/delete", {"medium": medium, "address": address}, token=alice.token)


# What is done, and what goes on afterwards.
EVERYTHING: Final = set(PROBES)
WITH_OLD_PASSWORD: Final = {"begun authentication"}
OPERATIONS: Final[dict[str, tuple[Ending, set[str]]]] = {
    "logout": (
        lambda a: a.world.post(f"{C}/logout", token=a.token),
        EVERYTHING - THIS - OF_THIS - {"finished registration"},
    ),
    "logout everywhere": (
        lambda a: a.world.post(f"{C}/logout/all", token=a.token),
        RESETS,
    ),
    "this device deleted": (
        lambda a: a.world.call("DELETE", f"{C}/devices/THIS", {"auth": password()}, token=a.other["access_token"]),
        EVERYTHING - THIS - OF_THIS - {"finished registration"},
    ),
    "another device deleted": (
        lambda a: a.world.post(f"{C}/delete_devices", {"devices": ["OTHER"], "auth": password()}, token=a.token),
        EVERYTHING - OTHER,
    ),
    "password changed": (
        change,
        THIS - WITH_OLD_PASSWORD,
    ),
    "password changed, devices kept": (
        lambda a: change(a, logout_devices=False),
        EVERYTHING - WITH_OLD_PASSWORD - RESETS - {"finished registration"},
    ),
    "password reset": (
        lambda a: a.world.post(f"{C}/account/password", {"new_password": NEW, "auth": a.reset_by_mail}),
        set(),
    ),
    "password reset by phone": (
        lambda a: a.world.post(f"{C}/account/password", {"new_password": NEW, "auth": a.reset_by_text}),
        set(),
    ),
    "mail address removed": (
        lambda a: remove(a, "email", "alice@example.com"),
        EVERYTHING - {"proven mail"},
    ),
    "phone number removed": (
        lambda a: remove(a, "msisdn", "+44 7400 123456"),
        EVERYTHING - {"proven phone"},
    ),
    "deactivated": (
        lambda a: a.world.post(f"{C}/account/deactivate", {"auth": password()}, token=a.token),
        set(),
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_goes_on_after_an_operation_in_another_process_is_what_the_table_says(
    world: World, operation: str
) -> None:
    alice = Alice(world)
    perform, survivors = OPERATIONS[operation]
    with world.again() as other:
        answer = perform(alice)
        assert answer.status_code == 200, answer.text
        found = {name for name, works in PROBES.items() if works(alice, other)}
    assert found == survivors


def test_all_of_it_works_before(world: World) -> None:
    alice = Alice(world)
    with world.again() as other:
        assert {name for name, works in PROBES.items() if works(alice, other)} == EVERYTHING


@pytest.mark.parametrize("operation", ["logout everywhere", "password reset", "deactivated"])
def test_no_use_that_begins_after_the_answer_is_answered(world: World, operation: str) -> None:
    alice = Alice(world)
    tokens = [alice.token, str(alice.other["access_token"])]
    tokens += [str(world.post(f"{C}/login", password()).json()["access_token"]) for _ in range(8)]
    paths = {
        "logout everywhere": ("/logout/all", {}, alice.token),
        "password reset": ("/account/password", {"new_password": NEW, "auth": alice.reset_by_mail}, None),
        "deactivated": ("/account/deactivate", {"auth": password()}, alice.token),
    }
    path, body, token = paths[operation]
    answered = False
    after: list[int] = []

    async def use(http: httpx.AsyncClient, one: str) -> None:
        late = 0
        while late < 5:
            began_after = answered
            await asyncio.sleep(0)
            answer = await http.get(f"{C}/account/whoami", headers={"Authorization": f"Bearer {one}"})
            if began_after:
                late += 1
                after.append(answer.status_code)

    async def run() -> None:
        nonlocal answered
        server = await world._open()
        transport = httpx.ASGITransport(app=cast(Any, server.asgi))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as elsewhere:
            users = [
                asyncio.create_task(use((world.http, elsewhere)[number % 2], one)) for number, one in enumerate(tokens)
            ]
            await asyncio.sleep(0.05)
            answer = await world.acall("POST", C + path, body, token=token)
            answered = True
            assert answer.status_code == 200, answer.text
            await asyncio.gather(*users)
        await server.stop()

    world.run(run())
    assert len(after) == 50
    assert set(after) == {401}


def test_an_ended_account_is_refused_alike_by_every_way_and_its_contacts_are_free(world: World) -> None:
    alice = Alice(world)
    assert OPERATIONS["deactivated"][0](alice).status_code == 200
    identifiers: list[dict[str, Any]] = [
        {"type": "m.id.user", "user": "alice"},
        {"type": "m.id.user", "user": "nobody"},
        {"type": "m.id.thirdparty", "medium": "email", "address": "alice@example.com"},
        {"type": "m.id.thirdparty", "medium": "msisdn", "address": "447400123456"},
        {"type": "m.id.phone", "country": "GB", "phone": PHONE},
    ]
    answers = [
        world.post(f"{C}/login", {"type": "m.login.password", "identifier": identifier, "password": PASSWORD})
        for identifier in identifiers
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1
    for medium, address in (
        ("email", {"email": "alice@example.com"}),
        ("msisdn", {"country": "GB", "phone_number": PHONE}),
    ):
        body = {"client_secret": "late", "send_attempt": 1, **address}
        assert world.post(f"{C}/account/password/{medium}/requestToken", body).status_code == 200
    mails, texts = world.mails()[alice.mails :], world.texts()[alice.texts :]  # with the notices of the deactivation
    assert len(mails) == len(texts) == 2
    assert not any("/confirm/" in mail.text for mail in mails)
    assert sum("No Matrix account" in text.text for text in texts) == 1
    bob = world.register("bob")
    body = {"client_secret": "b", "country": "GB", "phone_number": PHONE, "send_attempt": 1}
    sid = world.post(f"{C}/account/3pid/msisdn/requestToken", body, token=bob).json()["sid"]
    alice.submit(sid, "b", world.text().code)
    auth = {"type": "m.login.password", "user": "bob", "password": PASSWORD}
    added = world.post(f"{C}/account/3pid/add", {"sid": sid, "client_secret": "b", "auth": auth}, token=bob)
    assert added.status_code == 200, added.text
    assert world.contacts(bob) == ["447400123456"]


# -- what is under way when it happens


class Pause:
    """Work in the operation's transaction that lets a rival go first, if the rival can."""

    def __init__(self, world: World, rival: Callable[[], Any]) -> None:
        self.world = world
        self.rival = rival
        self.begun = asyncio.Event()

    async def against(self, operation: Callable[[Callable[[Tx], bool]], Any]) -> Any:
        """What became of the rival."""
        loop = asyncio.get_running_loop()
        done = threading.Event()

        def also(tx: Tx) -> bool:
            loop.call_soon_threadsafe(self.begun.set)
            # On SQLite, and where the rival waits for this transaction, it cannot be done by then.
            pause_until(tx, done.is_set, 0.5)
            return True

        work = asyncio.create_task(operation(also))
        await self.begun.wait()
        try:
            return await self.rival()
        except MatrixError as error:
            return error
        finally:
            done.set()
            await work


class Given(Authentication):
    """An authentication of Alice on this device that is complete already."""

    def __init__(self, world: World, grant: Grant | None = None) -> None:
        task, subject = stages.Task(Operation.DEACTIVATE), stages.Subject(ALICE, "THIS")
        super().__init__(world.homeserver.uia, stages.Request(task=task, subject=subject), None)
        self._grant = grant or Grant(world.clock.now())

    async def result(self) -> str | None:
        return self._grant.result

    async def require(self, flows: tuple[Flow, ...], *, consumer: Consumer = Consumer.REGISTER_STAGE) -> Grant:
        return self._grant


async def end(world: World, operation: str, also: Callable[[Tx], bool]) -> None:
    """Deactivate Alice's account or change her password, with `also` as the last thing in the transaction."""
    database = Around(world.database)
    database.at_end_of_long_writes = also
    context = msgspec.structs.replace(world.server.context, database=database)
    own, ours = world.homeserver, world.identity.associations
    notices = Notices(context, own.settings)
    if operation == "deactivated":
        closing = Closing(context, notices, own.profiles, own.threepids, own.bindings, ours, own.provisioning)
        await closing.deactivate(Given(world), id_server=None, erase=False)
    else:
        recovery = Recovery(
            context, own.passwords, notices, world.server.services.validation, own.web_sessions, ours, own.provisioning
        )
        await recovery.change_password(NEW, Given(world), log_out_devices=True)


async def log_in(world: World) -> Login:
    named = await world.homeserver.accounts.find(user="alice")
    return await world.homeserver.logins.log_in(named, PASSWORD, Device(device_id="RIVAL", refreshes=True))


async def log_in_again(world: World, alice: Alice) -> Login:
    id_hash = world.server.services.context.vault.hash_token(alice.registration["auth"]["session"])
    finished = Grant(world.clock.now(), id_hash, result=ALICE)
    device = Device(device_id="RIVAL", refreshes=True)
    wish = NewAccount(username="alice", password=PASSWORD, device=device, logs_in=True)
    authentication = Given(world, finished)
    registered = await world.homeserver.registration.register(wish, authentication, client="192.0.2.1")
    assert registered.login is not None
    return registered.login


RIVALS: Final[dict[str, Callable[[World, Alice], Awaitable[Login]]]] = {
    "login": lambda world, alice: log_in(world),
    "login by token": lambda world, alice: world.homeserver.logins.log_in_by_token(
        alice.login_token, Device(device_id="RIVAL", refreshes=True)
    ),
    "refresh": lambda world, alice: world.homeserver.devices.refresh(
        alice.other["refresh_token"], client="192.0.2.1", user_agent=""
    ),
    "finished registration": log_in_again,
}


@pytest.mark.parametrize(
    ("operation", "rival"),
    [
        *(("password changed", rival) for rival in RIVALS),
        *(("deactivated", rival) for rival in RIVALS),
    ],
)
def test_nobody_slips_in_while_it_happens(world: World, operation: str, rival: str) -> None:
    alice = Alice(world)

    async def run() -> Any:
        paused = Pause(world, lambda: RIVALS[rival](world, alice))
        return await paused.against(lambda also: end(world, operation, also))

    got = world.run(run())
    assert isinstance(got, (Login, Forbidden, UnknownToken))
    left = {device.device_id for device in world.run(world.homeserver.devices.of(ALICE))}
    assert left == (set() if operation == "deactivated" else {"THIS"})
    if isinstance(got, Login):
        assert world.get(f"{C}/account/whoami", token=got.access_token).status_code == 401


@pytest.mark.parametrize("operation", ["password changed", "deactivated"])
def test_no_identity_token_slips_in_while_it_happens(world: World, operation: str) -> None:
    alice = Alice(world)
    associations = world.identity.associations

    async def run() -> Any:
        rival = Pause(
            world, lambda: associations.register("example.org", alice.openid["access_token"], client="192.0.2.1")
        )
        return await rival.against(lambda also: end(world, operation, also))

    got = world.run(run())
    assert isinstance(got, (str, Unauthorized))
    if isinstance(got, str):
        assert world.run(associations.whose_token(got)) is None


@pytest.mark.parametrize("end", ["logout", "logout everywhere", "deactivated", "password reset"])
def test_a_permission_ends_with_the_device_that_it_was_given_to(world: World, end: str) -> None:
    alice = Alice(world)
    request = stages.Request(
        task=stages.Task(Operation.GET_LOGIN_TOKEN),
        subject=stages.Subject(ALICE, "THIS"),
        flows=((PASSWORD_STAGE,),),
        client="192.0.2.1",
    )
    auth = AuthData(type=PASSWORD_STAGE, user=ALICE, password=PASSWORD)
    permission = world.run(world.homeserver.uia.authenticate(request, auth))
    assert OPERATIONS[end][0](alice).status_code == 200
    with pytest.raises(UnknownToken):
        world.run(world.homeserver.login_tokens.issue(ALICE, permission))


@pytest.mark.parametrize("end", ["logout", "logout everywhere", "deactivated", "password reset"])
def test_a_device_that_has_ended_is_given_no_more_openid_tokens(world: World, end: str) -> None:
    alice = Alice(world)
    assert OPERATIONS[end][0](alice).status_code == 200
    with pytest.raises(UnknownToken):
        world.run(issue_openid_token(world.server.context, Requester(ALICE, "THIS")))
