"""Transports that keep mails on this machine: a folder, and the development mailbox."""

import asyncio
import os
from pathlib import Path

from threepid.delivery.errors import RelayDown
from threepid.storage import mailbox
from threepid.storage.engine.database import Database, StorageError
from threepid.storage.outbox import ClaimedJob


class MailFolder:
    """Writes each mail as `<id>.eml`, readable by the server's user only."""

    def __init__(self, directory: Path) -> None:
        """Create the folder if it does not exist."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = "file"
        self._directory = directory

    async def send(self, job: ClaimedJob, content: bytes) -> None:
        """Write the mail atomically. Raises RelayDown."""
        try:
            await asyncio.to_thread(self._write, job.id, content)
        except OSError as error:
            raise RelayDown(f"cannot be written: {type(error).__name__}", retry=True) from None

    def _write(self, job_id: str, content: bytes) -> None:
        temporary = self._directory / f".{job_id}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(self._directory / f"{job_id}.eml")


class DevelopmentMailbox:
    """Keeps mails, and SMS of the console, in the database for the page `/mailbox/`."""

    def __init__(self, database: Database) -> None:
        """Keep messages in `database`."""
        self.name = "mailbox"
        self._database = database

    async def send(self, job: ClaimedJob, content: bytes) -> None:
        """Keep one mail. Raises RelayDown."""
        await self._store(job, content)

    async def keep_sms(self, job: ClaimedJob, text: str) -> None:
        """Keep one SMS. Raises RelayDown."""
        await self._store(job, text.encode())

    async def _store(self, job: ClaimedJob, message: bytes) -> None:
        mail = mailbox.Mail(job.id, job.recipient, job.created_at, message)
        try:
            await self._database.write(lambda tx: mailbox.store(tx, mail))
        except StorageError as error:
            raise RelayDown(f"cannot be stored: {type(error).__name__}", retry=True) from None
