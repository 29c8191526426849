"""The context that every service uses: configuration, clock, randomness, database and vault."""

from msgspec import Struct

from threepid.clock import Clock, Entropy
from threepid.config import Config, Server, identity_name
from threepid.domain.secrets.vault import Vault
from threepid.storage.engine.database import Database


class Context(Struct, frozen=True):
    """The context that the composition root passes to each service."""

    config: Config
    clock: Clock
    entropy: Entropy
    database: Database
    vault: Vault

    @property
    def server_name(self) -> str:
        """The Matrix server name."""
        return self.config.server.name

    def is_own_homeserver(self, server_name: str) -> bool:
        """Is this the name of our own homeserver? False if threepid is only an identity server."""
        return self.config.accounts is not None and server_name == self.config.server.name

    def answers_for(self, server_name: str) -> bool:
        """Do we issue the OpenID tokens and sign the requests of this homeserver? Beside a Synapse it does so itself."""
        return self.config.homeserver is None and self.is_own_homeserver(server_name)

    @property
    def brand(self) -> str:
        """The server's name as people see it.

        A server that is only an identity server, and has no `server.name` configured, uses its identity server name.
        """
        config = self.config
        if config.web.brand_name:
            return config.web.brand_name
        if config.accounts is None and config.identity is not None and config.server.name == Server().name:
            return identity_name(config)
        return config.server.name
