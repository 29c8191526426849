"""Importing from an identity server's database that a test wrote, and what clients see afterwards."""

from pathlib import Path
from typing import Any

from importers.synapse.importing import Imported
from ma1sd_database import Ma1sdDatabase
from operators import root
from sydent_database import NAME, SydentDatabase
from threepid.importers.identity.run import Import, Origin
from threepid.importers.ma1sd import configuration as of_ma1sd
from threepid.importers.ma1sd.origin import Ma1sd
from threepid.importers.records import Finding
from threepid.importers.source import open_source
from threepid.importers.sydent import configuration as of_sydent
from threepid.importers.sydent.origin import Sydent
from threepid.spec.lookup_hash import lookup_hash
from world import World

V2 = "/_matrix/identity/v2"


def bring(
    world: World,
    other: SydentDatabase | Ma1sdDatabase,
    *,
    dry_run: bool = False,
    keys: Path | None = None,
    with_directory: bool = False,
    **settings: Any,
) -> Imported:
    """Import everything into the world's server."""
    findings: list[Finding] = []
    checked: dict[str, Any] = {
        "now": world.clock.now(),
        "hash_token": world.server.context.vault.hash_token,
        "documents": world.identity.settings.terms,
    }
    with open_source(other.url) as source:
        origin: Origin
        if isinstance(other, SydentDatabase):
            known = of_sydent.Settings(**{"server_name": NAME, "database": other.url, **settings})
            origin = Sydent(source, known, **checked)
        else:
            chosen = of_ma1sd.Settings(server_name=NAME, database=other.url, keys=keys)
            origin = Ma1sd(source, chosen, with_directory=with_directory, **checked)
        begun = Import(world.server.context, world.identity.settings, origin, root(world), dry_run=dry_run)
        result = world.run(begun.run(findings.append))
    return Imported(result, findings)


def current_pepper(world: World, token: str) -> str:
    return str(world.get(f"{V2}/hash_details", token=token).json()["lookup_pepper"])


def look_up(world: World, token: str, pepper: str, *addresses: str, medium: str = "email") -> dict[str, str]:
    """The user IDs that a client finds with this pepper, by address as the client has it."""
    hashes = {lookup_hash(address, medium, pepper): address for address in addresses}
    body = {"addresses": list(hashes), "algorithm": "sha256", "pepper": pepper}
    answer = world.post(f"{V2}/lookup", body, token=token)
    assert answer.status_code == 200, answer.text
    return {hashes[hash_]: mxid for hash_, mxid in answer.json()["mappings"].items()}


def whose(world: World, token: str) -> Any:
    """Whose token of the identity server this is, or the error."""
    answer = world.get(f"{V2}/account", token=token)
    return answer.json().get("user_id") or answer.json()["errcode"]


def is_valid(world: World, public_key: str, kind: str = "ephemeral/") -> bool:
    """What homeservers are told of a key, at the path that old invitations name."""
    query = {"public_key": public_key}
    answers = {
        world.get(f"{path}/pubkey/{kind}isvalid", params=query).json()["valid"]
        for path in (V2, "/_matrix/identity/api/v1")
    }
    (valid,) = answers
    return bool(valid)
