"""A39: passwords, tokens and codes are nowhere in the database, not even half-way through a request."""

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from threepid.delivery import configured
from threepid.delivery.worker import Worker
from threepid.domain import messages
from threepid.domain.secrets.vault import Vault
from threepid.storage import outbox
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from threepid.storage.engine.sqlite import SqliteTx
from world import BASE, SeededEntropy, World, unnoted

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
        token = secrets["registration token"] = world.run(world.homeserver.registration_tokens.create(note=unnoted))
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


PHONE: dict[str, Any] = {"sms__countries": ["GB"], "sms__via": [{"transport": "console"}]}


def test_what_waits_in_the_outbox_is_sealed(database_url: str, tmp_path: Path) -> None:
    """Nothing is delivered for a while, as when the relay is down: neither links nor codes are in the database."""
    with World(database_url, tmp_path, identity__invite_url="https://app.example.org", **PHONE) as world:
        token = world.register()
        identity = world.identity_token(token)
        email = {"client_secret": "secret", "email": "a@example.com", "send_attempt": 1}
        phone = {"client_secret": "secret", "country": "GB", "phone_number": "07700 900123", "send_attempt": 1}
        invitation = {
            "medium": "email", "address": "guest@example.com", "room_id": "!room:example.org", "sender": "@alice:example.org",
        }  # fmt: skip
        for path, body, bearer in (
            (f"{C}/register/email/requestToken", email, None),
            (f"{C}/account/3pid/email/requestToken", email | {"email": "b@example.com"}, token),
            (f"{C}/account/3pid/msisdn/requestToken", phone, token),
            ("/_matrix/identity/v2/store-invite", invitation, identity),
        ):
            assert world.post(path, body, token=bearer).status_code == 200
        waiting = everything(world)
        assert b"confirm_address" in waiting
        assert waiting.count(b"sealed:") == 4
        mails, texts = world.mails(), world.texts()
        assert (len(mails), len(texts)) == (3, 1)
        secrets = {texts[0].code}
        for mail in mails:
            if "guest" in mail.recipient:
                found = re.search(r"https://app\.example\.org/#/\S+token=([\w-]+)&private_key=([\w%-]+)", mail.text)
                assert found
                secrets |= {found[2], "https://app.example.org"}
            else:
                secrets |= {mail.code, mail.link.removeprefix("/confirm/")}
        assert len(secrets) == 7
        for secret in secrets:
            assert secret.encode() not in waiting
        assert b"sealed:" not in everything(world)  # and forgotten when it is delivered


def test_what_an_earlier_version_put_into_the_outbox_still_goes_out(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        now, params = world.clock.now(), msgspec.json.encode(messages.EXAMPLES[0]).decode()
        for number, kept in enumerate((params, world.server.context.vault.seal_job(params))):
            world.run(world.server.context.database.write(lambda tx, number=number, kept=kept: outbox.insert(  # type: ignore[misc]
                tx, job_id=f"row{number}", channel="email", recipient="a@example.com", language="en",
                template="confirm_address", params=kept, created_at=now, due_at=now, expires_at=now + 60_000,
            )))  # fmt: skip
        assert [mail.code for mail in world.mails()] == ["042917", "042917"]


def test_what_was_sealed_with_another_secret_is_given_up_and_says_so(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        body = {"client_secret": "secret", "email": "a@example.com", "send_attempt": 1}
        assert world.post(f"{C}/register/email/requestToken", body).status_code == 200
        other = Vault(b"another secret of 32 bytes or so", world.entropy)
        types = configured.job_types(world.server.services)
        worker = Worker(world.database, world.clock, types, unseal=other.unseal_job)
        assert world.run(worker.run_once()) == 1
        assert worker.failed == 1
        assert world.mails() == []
        assert b"sealed with another vault.secret" in everything(world)


def test_the_same_is_sealed_alike_and_nothing_else_is() -> None:
    one, other = (Vault(secret * 32, SeededEntropy()) for secret in (b"1", b"2"))
    texts = ['{"code":"042917"}', '{"code":"042918"}', "{}", '{"name":"\u00e9"}']
    assert [one.unseal_job(one.seal_job(text)) for text in texts] == texts
    assert one.seal_job(texts[0]) == one.seal_job(texts[0])
    nonces = [base64.urlsafe_b64decode(vault.seal_job(text)[7:])[:24] for vault in (one, other) for text in texts]
    assert len(set(nonces)) == 8
    for broken in (one.seal_job(texts[0])[:-5] + "AAAA=", "sealed:", "sealed:AAAA", "sealed:!"):
        with pytest.raises(ValueError, match=r"sealed"):
            other.unseal_job(broken)


_EMPTY = Query("test", "DELETE FROM mailbox", "DELETE FROM mailbox")
