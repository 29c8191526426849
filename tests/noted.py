"""A server on which an operator can do everything once, and the entries of its audit log."""

from typing import Any, NamedTuple
from urllib.parse import quote

from threepid.storage import audit, outbox, suppressions
from threepid.storage.audit import Entry, Which
from threepid.storage.engine.database import Tx
from web.portal_browser import Browser
from world import World

ADDRESS, GONE = "alice@example.com", "gone@example.com"


class Made(NamedTuple):
    """IDs of what was made; the messages wait for another attempt."""

    device: str
    session: str
    messages: list[str]
    invite: str


def furnish(world: World) -> Made:
    """Alice with a contact, a device and a browser session; messages, an invitation and a suppressed address."""
    token = world.register()
    identity = world.identity_token(token)
    world.add(token, world.validated(identity))
    Browser(world).sign_in()
    invite = {"medium": "email", "address": GONE, "room_id": "!room:example.org", "sender": "@alice:example.org"}
    assert world.post("/_matrix/identity/v2/store-invite", invite, token=identity).status_code == 200
    world.mails()  # the message of the invitation must not be the one that waits
    known = world.identity.invites
    (stored,) = world.run(world.server.services.operations.invites(known, after=None, count=2))
    shown = world.run(world.homeserver.directory.show("@alice:example.org"))
    report: dict[str, Any] = {"kind": "bounce", "status": "5.1.1", "message_id": "m", "now": world.clock.now()}
    world.run(world.database.write(lambda tx: suppressions.record(tx, canonical=GONE, **report)))
    messages = [waiting_message(world) for _ in range(3)]
    return Made(shown.devices[0].device_id, shown.sessions[0].session_id, messages, stored.id)


def waiting_message(world: World, recipient: str = ADDRESS) -> str:
    """A message that failed once, and waits for another attempt."""
    now = world.clock.now()
    job_id = world.entropy.id(now)

    def step(tx: Tx) -> None:
        outbox.insert(
            tx,
            job_id=job_id,
            channel="email",
            recipient=recipient,
            language="en",
            template="validation",
            params="x",
            created_at=now,
            due_at=now,
            expires_at=now + 10**9,
            destination="email:example.com",
        )
        (job,) = outbox.claim(tx, [job_id], worker="w", now=now)
        outbox.retry_later(tx, job, now=now, due_at=now + 10**8, last_error="451 later")

    world.run(world.database.write(step))
    return job_id


def entries(world: World) -> list[Entry]:
    """All entries, in the order of their time."""
    return world.run(world.database.read(lambda tx: audit.oldest(tx, Which(), after=None, count=10_000)))


def new_entries(world: World, before: list[Entry]) -> list[Entry]:
    """The entries that came since `before`."""
    known = {one.entry_id for one in before}
    return [one for one in entries(world) if one.entry_id not in known]


def path_of(text: str) -> str:
    return quote(text, safe="")
