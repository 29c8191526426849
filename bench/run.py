"""Measure the server against a floor in the same run: `make bench`.

The floor is the fastest bare function that Granian serves here: one worker with uvloop answers with a constant body of the same
size. It is the same for both engines and all versions. For logins the floor is the same hash in a bare loop. Figures are ratios
to it, because requests per second say more about the machine than about the program.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import accounts
import contacts
import data
import delivery
import helpdesk
import imports
import logins
import lookup
import oauth
import pages
from clients import PASSWORD
from threepid.clock import Clock, Entropy
from threepid.config import Policy
from threepid.domain.secrets.keys import ensure_keyring, ensure_secret
from threepid.domain.secrets.passwords import Passwords
from threepid.domain.secrets.vault import Vault
from tools import HERE, Figures, Setup, free_port

sys.path.append(str(HERE.parent / "tests"))
from postgres import PostgresServer

SECTIONS: dict[str, Callable[[Setup], Figures]] = {
    "contacts": contacts.measure,
    "accounts": accounts.measure,
    "logins": logins.measure,
    "lookup": lookup.measure,
    "pages": pages.measure,
    "oauth": oauth.measure,
    "import": imports.measure,
    "delivery": delivery.measure,
    "operators": helpdesk.measure,
}
CONFIG = """
[server]
name = "bench.example"
public_base_url = "http://localhost:{port}"
listen = "127.0.0.1:{port}"
metrics_listen = "127.0.0.1:{metrics_port}"
data_dir = "{directory}"
[database]
url = "{url}"
[accounts]
registration = "closed"
[identity]
[email]
from = "Bench <noreply@bench.example>"
via = [{{ transport = "file", directory = "{directory}/mails" }}]
[limits] # counted as ever, and never reached: the load comes from one address
message_from_client = {{ burst = 1_000_000, per_hour = 1_000_000 }}
message_total = {{ burst = 1_000_000, per_hour = 1_000_000 }}
guesses_from_client = {{ burst = 1_000_000, per_hour = 1_000_000 }}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="measure this section alone; may be repeated")
    parser.add_argument(
        "--engine",
        choices=["sqlite", "postgresql"],
        default="sqlite",
        help="where accounts are kept: postgresql starts a server for the run, and measures less",
    )
    parser.add_argument(
        "--large", action="store_true", help="look up among ten million addresses as well: some minutes, 4 GB"
    )
    parser.add_argument(
        "--mails", type=int, default=delivery.MAILS, help="size of the queue of mails; a full measurement has 100000"
    )
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    options = parser.parse_args()
    sections = dict(SECTIONS)
    if options.large:
        sections["lookup"] = partial(lookup.measure, sizes=lookup.LARGE)
    sections["delivery"] = partial(delivery.measure, mails=options.mails)
    only = options.only or (
        sections if options.engine == "sqlite" else ["contacts", "accounts", "oauth", "import", "operators"]
    )
    figures: Figures = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="threepid-bench-")))
        url = f"sqlite:{directory}/threepid.db"
        if options.engine == "postgresql":
            url = stack.enter_context(postgresql(directory))
        posts = int(6_000 * options.seconds) if "contacts" in only else 0
        setup = prepare(directory, url, options.accounts, options.seconds, options.engine, posts=posts)
        for name, measure in sections.items():
            if name in only:
                figures |= measure(setup)
    for name, (value, goal) in figures.items():
        print(f"{name:58} {value:10.3f}   {f'goal {goal}' if goal else ''}".rstrip())
    if options.json:
        options.json.write_text(json.dumps({name: value for name, (value, _) in figures.items()}, indent=2))


@contextmanager
def postgresql(directory: Path) -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL of the tests."""
    server = PostgresServer(directory)
    server.start()
    try:
        yield server.create_database("bench")
    finally:
        server.stop()


def prepare(directory: Path, url: str, count: int, seconds: float, engine: str, *, posts: int) -> Setup:
    """Write the configuration, and fill the database: `posts` sessions wait to be added as contacts."""
    setup = Setup(
        settings=directory / "threepid.toml",
        port=free_port(),
        metrics_port=free_port(),
        accounts=count,
        seconds=seconds,
        password_hash=asyncio.run(_hash(PASSWORD)),
        engine=engine,
        url=url,
    )
    setup.settings.write_text(
        CONFIG.format(port=setup.port, metrics_port=setup.metrics_port, directory=directory, url=url), encoding="utf-8"
    )
    vault = Vault(ensure_secret(directory / "keys" / "vault.secret", Entropy()), Entropy())
    ensure_keyring(directory / "keys", Entropy())
    data.make(
        url,
        count=count,
        posts=posts,
        vault=vault,
        password_hash=setup.password_hash,
    )
    return setup


async def _hash(password: str) -> str:
    passwords = Passwords(Clock(), Policy())
    try:
        return await passwords.hash(password)
    finally:
        passwords.close()


if __name__ == "__main__":
    main()
