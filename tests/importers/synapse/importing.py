"""Importing from a database that a test wrote."""

from typing import Any

from operators import root
from synapse_database import SynapseDatabase
from threepid.importers.records import Finding
from threepid.importers.result import Result
from threepid.importers.source import open_source
from threepid.importers.synapse.configuration import Settings
from threepid.importers.synapse.run import Import
from world import World


class Imported:
    """The result of an import, and its findings."""

    def __init__(self, result: Result, findings: list[Finding]) -> None:
        self.result = result
        self.findings = findings

    def kinds(self) -> dict[str, int]:
        return self.result.findings

    def details(self, kind: str) -> list[str]:
        return [f"{found.user_id} {found.detail}".strip() for found in self.findings if found.kind.name == kind]


def bring(world: World, synapse: SynapseDatabase, *, dry_run: bool = False, **settings: Any) -> Imported:
    """Import everything into the world's server."""
    findings: list[Finding] = []
    chosen = Settings(**{"server_name": "example.org", "database": synapse.url, **settings})
    with open_source(chosen.database) as source:
        begun = Import(world.server.context, world.homeserver.settings, chosen, source, root(world), dry_run=dry_run)
        result = world.run(begun.run(findings.append))
    return Imported(result, findings)


def log_in(world: World, user: str, password: str) -> int:
    """The status of a login."""
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password}
    return world.post("/_matrix/client/v3/login", body).status_code


def who(world: World, token: str) -> Any:
    """Whose token this is, or the error."""
    answer = world.get("/_matrix/client/v3/account/whoami", token=token)
    body = answer.json()
    return (body["user_id"], body["device_id"]) if answer.status_code == 200 else body["errcode"]
