"""What every service works with: configuration, time, chance, the database, the server's secret."""

from msgspec import Struct

from threepid.clock import Clock, Entropy
from threepid.config import Config, Server, identity_name
from threepid.domain.secrets.vault import Vault
from threepid.storage.engine.database import Database


class Context(Struct, frozen=True):
    """Handed to each service by the composition root."""

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
        """Is this our own homeserver side? Never where threepid is an identity server alone."""
        return self.config.accounts is not None and server_name == self.config.server.name

    @property
    def brand(self) -> str:
        """The server's name as people see it.

        An identity server alone need not be told the name of a homeserver: then it goes by its own.
        """
        config = self.config
        if config.web.brand_name:
            return config.web.brand_name
        if config.accounts is None and config.identity is not None and config.server.name == Server().name:
            return identity_name(config)
        return config.server.name
