"""What every service works with: configuration, time, chance, the database, the server's secret."""

from msgspec import Struct

from threepid.clock import Clock, Entropy
from threepid.config import Config
from threepid.domain.credentials import Vault
from threepid.storage.database import Database


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

    @property
    def brand(self) -> str:
        """The server's name as people see it."""
        return self.config.web.brand_name or self.config.server.name
