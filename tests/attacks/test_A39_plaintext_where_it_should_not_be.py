"""A39: passwords, tokens and codes are nowhere in the database, not even half-way through a request."""

from pathlib import Path
from typing import Any

import pytest

from threepid.storage.database import Tx
from threepid.storage.queries import Query
from threepid.storage.sqlite import SqliteTx
from world import BASE, World

C = "/_matrix/client/v3"
TERMS = {"id": "rules", "version": "1", "languages": {"en": {"name": "Rules", "url": "https://example.org/rules"}}}
TABLES = {
    "sqlite": "SELECT group_concat(name) FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public'",
}


def everything(world: World) -> bytes:
    """All that is in the database, as one text."""

    def read(statement: str) -> str:
        query = Query("test", statement, statement)
        return str(world.run(world.server.context.database.read(lambda tx: tx.value(query))))

    def dump(tx: Tx) -> list[bytes]:
        assert isinstance(tx, SqliteTx)
        rows = [row for table in tables for row in tx.connection.execute(f"SELECT * FROM {table}")]
        return [value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row]

    database = world.server.context.database
    tables = read(TABLES[database.engine]).split(",")
    if database.engine == "sqlite":
        return b"\n".join(world.run(database.read(dump)))
    return b"\n".join(
        read(f"SELECT COALESCE(string_agg({table}::text, ' '), '') FROM {table}").encode() for table in tables
    )


@pytest.mark.parametrize("hexadecimal", [False, True])
def test_no_secret_is_kept_in_the_clear(database_url: str, tmp_path: Path, hexadecimal: bool) -> None:
    changes: dict[str, Any] = {"accounts__terms": [TERMS], "accounts__registration": "token"}
    with World(database_url, tmp_path, **changes) as world:
        secrets: dict[str, str] = {}
        token = secrets["registration token"] = world.run(world.server.services.registration_tokens.create())
        secrets["password"] = "canary-password-1"
        body = {"username": "alice", "password": secrets["password"], "refresh_token": True}
        session = secrets["session"] = world.post(f"{C}/register", body).json()["session"]
        auth = {"type": "m.login.registration_token", "token": token, "session": session}
        world.post(f"{C}/register", {**body, "auth": auth})
        # Half-way: the request, with its password, waits in the database.
        half = everything(world)
        world.post(f"{C}/register", {**body, "auth": {"type": "m.login.terms", "session": session}})
        done = world.post(f"{C}/register", {**body, "auth": {"type": "m.login.dummy", "session": session}}).json()
        secrets["access token"], secrets["refresh token"] = done["access_token"], done["refresh_token"]
        secrets["client secret"] = "canary-client-secret"
        request = {"client_secret": secrets["client secret"], "email": "a@example.com", "send_attempt": 1}
        answer = world.post(f"{C}/account/3pid/email/requestToken", request, token=done["access_token"]).json()
        mail = world.mail()
        secrets["link token"] = mail.link.removeprefix("/confirm/")
        stage = {"type": "m.login.password", "user": "alice", "password": secrets["password"]}
        login_token = world.post(
            "/_matrix/client/v1/login/get_token", {"auth": stage}, token=done["access_token"]
        ).json()
        secrets["login token"] = login_token["login_token"]
        openid = world.post(f"{C}/user/@alice:example.org/openid/request_token", token=done["access_token"]).json()
        secrets["OpenID token"] = openid["access_token"]
        secrets["identity token"] = world.post("/_matrix/identity/v2/account/register", openid).json()["token"]
        submit = {"sid": answer["sid"], "client_secret": secrets["client secret"], "token": mail.code}
        assert world.post(answer["submit_url"].removeprefix(BASE), submit).status_code == 200
        # The development mailbox keeps mails as they are: that is what it is for.
        world.run(world.server.context.database.write(lambda tx: tx.run(_EMPTY, range(1000))))
        whole = everything(world)
        assert b"@alice:example.org" in whole
        for name, secret in secrets.items():
            wanted = secret.encode().hex().encode() if hexadecimal else secret.encode()
            assert wanted not in half, name
            assert wanted not in whole, name
        # The look is one that finds things.
        assert world.server.context.vault.hash_token(secrets["access token"]) in whole or database_url[:6] != "sqlite"


_EMPTY = Query("test", "DELETE FROM mailbox", "DELETE FROM mailbox")
