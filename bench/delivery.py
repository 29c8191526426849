"""A queue of mails is sent to a relay on this machine that accepts everything: how fast, and the urgent ones first.

A worker renders, sends and records each mail. The floor is aiosmtplib alone, which makes and sends as many mails to the same
relay over as many connections, and neither renders nor remembers anything.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from threepid.clock import HOUR, Clock, Entropy
from threepid.config import Email as EmailSettings
from threepid.config import MailboxTransport
from threepid.delivery.mail.email import Mailer
from threepid.delivery.render import Renderer
from threepid.delivery.traffic import AT_ONCE
from threepid.domain import messages
from threepid.domain.messages import ConfirmAddress, Message
from threepid.domain.secrets.keys import ensure_keyring, ensure_secret
from threepid.domain.secrets.vault import Vault
from threepid.storage import outbox
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database, Tx
from threepid.storage.engine.migrate import migrate
from threepid.storage.outbox import ClaimedJob
from tools import HERE, Figures, Setup, cpu_seconds, free_port, memory, serving

MAILS = 10_000
URGENT = 0.1
"""How many of the mails are codes. They come into the queue after the notices, and must go before them."""
FLOOR_MAILS = 10_000
"""Maximum number of mails that aiosmtplib alone sends: its rate does not depend on it."""
DOMAINS = 200
BATCH = 2_000
CONFIG = """
[server]
name = "bench.example"
public_base_url = "http://localhost:{port}"
listen = "127.0.0.1:{port}"
data_dir = "{directory}"
[accounts]
registration = "closed"
[email]
from = "Bench <noreply@bench.example>"
via = [{{ transport = "smtp", host = "127.0.0.1", port = {relay}, tls = "plain" }}]
"""


class Drained(NamedTuple):
    """What a relay got."""

    per_second: float
    recipients: list[str]


def measure(setup: Setup, *, mails: int = MAILS) -> Figures:
    """Mails per second of a full outbox, and of aiosmtplib alone."""
    with tempfile.TemporaryDirectory(prefix="threepid-bench-delivery-") as name:
        folder = Path(name)
        sample = folder / "mail.eml"
        sample.write_bytes(asyncio.run(_fill(folder, mails)))
        port, relay = free_port(), free_port()
        settings = folder / "threepid.toml"
        settings.write_text(CONFIG.format(port=port, relay=relay, directory=folder), encoding="utf-8")
        with (
            sink(folder, relay, mails) as drained,
            serving(setup._replace(settings=settings, port=port)) as (worker, _),
        ):
            ours = drained()
            megabytes, peak = memory(worker), memory(worker, peak=True)
            ours_cpu = cpu_seconds(worker) / mails
        floor = min(mails, FLOOR_MAILS)
        alone = {manner: _alone(folder, floor, manner, sample) for manner in ("made", "new", "kept")}
    urgent = round(mails * URGENT)
    place = max(index for index, recipient in enumerate(ours.recipients) if recipient.startswith("code"))
    # Those that are on their way at the same time may overtake each other.
    assert place < urgent + AT_ONCE, f"the last code was mail {place}"
    assert len(set(ours.recipients)) == mails, "a mail came twice"
    made, new, kept = alone["made"], alone["new"], alone["kept"]
    return {
        f"mails of a queue of {mails} (1/s)": (ours.per_second, ""),
        f"aiosmtplib alone, {AT_ONCE} connections (1/s)": (made.per_second, ""),
        "mails / aiosmtplib alone": (ours.per_second / made.per_second, ">= 0.5"),
        "… which does not make the mails (1/s)": (new.per_second, ""),
        "mails / … which does not make the mails": (ours.per_second / new.per_second, ""),
        "… and keeps its connections open (1/s)": (kept.per_second, ""),
        # Other programs of the machine change these figures less.
        "processor time of a mail, with the start (ms)": (1000 * ours_cpu, ""),
        "processor time of a mail, aiosmtplib alone (ms)": (1000 * made.cpu_seconds, ""),
        "… which does not make the mails (ms)": (1000 * new.cpu_seconds, ""),
        "… and keeps its connections open (ms)": (1000 * kept.cpu_seconds, ""),
        "memory of the server process after the mails (MB)": (megabytes, ""),
        "most memory of the server process (MB)": (peak, ""),
    }


class Alone(NamedTuple):
    """What aiosmtplib reached."""

    per_second: float
    cpu_seconds: float
    """Processor time of a mail."""


@contextmanager
def sink(folder: Path, port: int, count: int) -> Iterator["Waiting"]:
    """A relay that waits for `count` mails."""
    file = folder / f"{port}.json"
    running = subprocess.Popen([sys.executable, HERE / "sink.py", str(port), str(count), str(file)])
    try:
        yield Waiting(running, file)
    finally:
        running.kill()
        running.wait()


class Waiting:
    """Waits until a relay has all mails."""

    def __init__(self, running: subprocess.Popen[bytes], file: Path) -> None:
        self._running = running
        self._file = file

    def __call__(self) -> Drained:
        """Wait, and return what came."""
        self._running.wait()
        found = json.loads(self._file.read_text(encoding="utf-8"))
        return Drained(len(found["recipients"]) / found["seconds"], found["recipients"])


def _alone(folder: Path, mails: int, manner: str, sample: Path) -> Alone:
    port = free_port()
    with sink(folder, port, mails) as drained:
        time.sleep(0.5)  # until it listens
        command = [sys.executable, str(HERE / "mailing.py"), str(port), str(mails), str(AT_ONCE), manner, str(sample)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Alone(drained().per_second, used / mails)


async def _fill(folder: Path, mails: int) -> bytes:
    """Make a database whose outbox holds `mails`; returns one of them."""
    url = f"sqlite:{folder}/threepid.db"
    vault = Vault(ensure_secret(folder / "keys" / "vault.secret", Entropy()), Entropy())
    ensure_keyring(folder / "keys", Entropy())
    migrate(url, password=None, clock=Clock())
    code = next(example for example in messages.EXAMPLES if isinstance(example, ConfirmAddress))
    notice = next(example for example in messages.EXAMPLES if example.urgency > code.urgency)
    urgent = round(mails * URGENT)
    database = open_database(url, pool_size=1, password=None)
    try:
        await _put(database, vault, notice, mails - urgent, "notice")
        await _put(database, vault, code, urgent, "code")
        return _rendered(database, notice)
    finally:
        await database.close()


async def _put(database: Database, vault: Vault, message: Message, count: int, name: str) -> None:
    now = Clock().now()
    params = vault.seal_job(msgspec.json.encode(message).decode())

    def put(tx: Tx, start: int) -> None:
        for number in range(start, min(start + BATCH, count)):
            domain = f"d{number % DOMAINS}.example.com"
            outbox.insert(
                tx,
                job_id=f"{name}{number:07}",
                channel="email",
                recipient=f"{name}{number}@{domain}",
                language="en",
                template=message.template,
                params=params,
                created_at=now,
                due_at=now,
                expires_at=now + 24 * HOUR,
                destination=f"email:{domain}",
                caller=f"caller{number}",
                urgency=message.urgency,
            )

    for start in range(0, count, BATCH):
        await database.write(partial(put, start=start))


def _rendered(database: Database, message: Message) -> bytes:
    settings = EmailSettings(sender="Bench <noreply@bench.example>", via=(MailboxTransport(),))
    params = msgspec.json.encode(message).decode()
    order = ClaimedJob("sample", "email", "bob@example.com", "en", message.template, params, 0, HOUR, 1)
    return Mailer(settings, database).build(order, Renderer().mail(order))
