"""A137: an account has so many bound addresses, whichever request binds them, and whatever a hostile server answers."""

from pathlib import Path

from fake_identity_server import V2, Asked, FakeIdentityServer, identity_server
from threepid.storage import threepids
from world import World

ALICE = "@alice:example.org"
MOST = 5
"""Maximum number of bound addresses of an account that may have one contact."""


def answering_new_addresses(other: FakeIdentityServer) -> None:
    """Let the server answer each bind with an address that was never bound before."""
    number = 0

    def bind(asked: Asked) -> tuple[int, object]:
        nonlocal number
        number += 1
        return 200, {
            "medium": "email",
            "address": f"a{number}@example.com",
            "mxid": asked.body["mxid"],
            "not_before": 0,
            "not_after": 4_000_000_000_000,
            "ts": 0,
            "signatures": {},
        }

    other.replies[f"{V2}/3pid/bind"] = bind


def test_adding_a_contact_again_and_again_binds_no_more_than_an_account_may(database_url: str, tmp_path: Path) -> None:
    with (
        identity_server() as other,
        World(database_url, tmp_path, **other.settings, policy__contacts_per_account=1) as home,
    ):
        answering_new_addresses(other)
        token = home.register()
        sid = home.validated(home.identity_token(token))
        creds = {"sid": sid, "client_secret": "secret", "id_server": other.name, "id_access_token": "token"}
        for _ in range(2 * MOST):
            body = {"three_pid_creds": creds, "bind": True}
            assert home.post("/_matrix/client/v3/account/3pid", body, token=token).json() == {}
        found = home.run(home.database.read(lambda tx: threepids.bindings_of_user(tx, ALICE)))
        assert len(found) == len(other.asked) == MOST
        assert home.contacts(token) == ["alice@example.com"]
