"""F01: what was answered with 2xx is there after kill -9; what was not is wholly there or wholly absent."""

import random
import sqlite3
import threading
import time
from pathlib import Path

import httpx
import psycopg
import pytest

from rig import ServerProcess, identity_token, register, request_token

CYCLES = 6


class Ledger:
    """What was acknowledged."""

    def __init__(self) -> None:
        self.accounts: list[str] = []
        self.tokens: list[str] = []
        self.sessions: list[tuple[str, str]] = []
        self.logouts: list[str] = []


def work(base: str, name: str, identity: str, ledger: Ledger, stop: threading.Event) -> None:
    with httpx.Client(base_url=base, timeout=60) as http:
        number = 0
        while not stop.is_set():
            number += 1
            user = f"{name}-{number}"
            try:
                body = {"username": user, "password": "long enough", "auth": {"type": "m.login.dummy"}}
                answer = http.post("/_matrix/client/v3/register", json=body)
                if answer.status_code != 200:
                    continue
                ledger.accounts.append(user)
                token = answer.json()["access_token"]
                sid = request_token(http, identity, f"{user}@example.com", secret=user)
                if sid.status_code == 200:
                    ledger.sessions.append((sid.json()["sid"], user))
                headers = {"Authorization": f"Bearer {token}"}
                if number % 2:
                    if http.post("/_matrix/client/v3/logout", headers=headers).status_code == 200:
                        ledger.logouts.append(token)
                else:
                    ledger.tokens.append(token)
            except httpx.TransportError:
                return


@pytest.fixture
def place(engine: str, database_url: str, tmp_path: Path) -> ServerProcess:
    table = "" if engine == "sqlite" else f'[database]\nurl = "{database_url}"\n'
    return ServerProcess(tmp_path / "server", tables=table)


def test_acknowledged_writes_survive_kill_9(place: ServerProcess, engine: str, database_url: str) -> None:
    chance = random.Random(1)
    ledger = Ledger()
    place.start()
    with place.client() as http:
        identity = identity_token(http, register(http, "founder"))
    for cycle in range(CYCLES):
        stop = threading.Event()
        workers = [
            threading.Thread(target=work, args=(place.base, f"c{cycle}w{index}", identity, ledger, stop))
            for index in range(4)
        ]
        for worker in workers:
            worker.start()
        # However busy the machine is, some of each cycle's writes are acknowledged before the end.
        enough, deadline = len(ledger.accounts) + 4, time.monotonic() + 60
        while len(ledger.accounts) < enough and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.5)
        place.kill()
        stop.set()
        for worker in workers:
            worker.join()
        place.start()
    assert len(ledger.accounts) > 20
    with place.client() as http:
        for user in ledger.accounts:
            answer = http.get(f"/_matrix/client/v3/register/available?username={user}")
            assert answer.json().get("errcode") == "M_USER_IN_USE", user
        for token in ledger.tokens:
            headers = {"Authorization": f"Bearer {token}"}
            assert http.get("/_matrix/client/v3/account/whoami", headers=headers).status_code == 200
        for token in ledger.logouts:
            headers = {"Authorization": f"Bearer {token}"}
            assert http.get("/_matrix/client/v3/account/whoami", headers=headers).status_code == 401
        for sid, secret in ledger.sessions:
            answer = http.get(
                f"/_matrix/identity/v2/3pid/getValidated3pid?sid={sid}&client_secret={secret}",
                headers={"Authorization": f"Bearer {identity}"},
            )
            assert answer.json()["errcode"] == "M_SESSION_NOT_VALIDATED"
    place.stop()
    for name, count in invariants(engine, place, database_url).items():
        assert count == 0, name


def invariants(engine: str, place: ServerProcess, database_url: str) -> dict[str, int]:
    """How many rows break each of our promises."""
    queries = {
        "accounts without a device and a token that were never logged out": "SELECT COUNT(*) FROM devices d WHERE NOT EXISTS "
        "(SELECT 1 FROM access_tokens t WHERE t.user_id = d.user_id AND t.device_id = d.device_id)",
        "sessions without tokens": "SELECT COUNT(*) FROM validation_sessions WHERE link_hash IS NULL",
        "sessions whose message is missing": "SELECT COUNT(*) FROM (SELECT COUNT(*) AS s FROM validation_sessions) a, "
        "(SELECT COUNT(*) AS t FROM validation_tokens) b, (SELECT COUNT(*) AS o FROM outbox) c WHERE a.s + b.t <> c.o",
    }
    if engine == "sqlite":
        with sqlite3.connect(place.directory / "data" / "threepid.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            found = {name: connection.execute(query).fetchone()[0] for name, query in queries.items()}
        connection.close()
        return found
    with psycopg.connect(database_url) as connected:
        return {name: (connected.execute(query.encode()).fetchone() or [1])[0] for name, query in queries.items()}
