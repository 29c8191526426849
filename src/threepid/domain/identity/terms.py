"""Terms of the identity server: its documents, and which users have accepted them.

https://spec.matrix.org/latest/identity-service-api/#terms-of-service
"""

from collections.abc import Collection
from typing import Any

from threepid import config
from threepid.domain.context import Context
from threepid.domain.languages import fitting
from threepid.domain.policy import policies
from threepid.storage import terms
from threepid.storage.engine.database import Tx


class Terms:
    """The terms of the identity server."""

    def __init__(self, context: Context, settings: config.Identity) -> None:
        """The documents are those of `settings`."""
        self._context = context
        self._documents = settings.terms

    def policies(self) -> dict[str, Any]:
        """The documents in the form that clients get."""
        return policies(self._documents)

    def urls(self) -> list[str]:
        """The URLs of all documents, each in one language."""
        return [document.url for document in self.documents("")]

    def documents(self, language: str) -> list[config.TermsText]:
        """All documents in `language`, or in the server's default or their first language if they are not translated."""
        return [
            document.languages[fitting(self._context.config, (language.lower(),), tuple(document.languages))]
            for document in self._documents
        ]

    async def accept(self, user_id: str, urls: Collection[str]) -> None:
        """Record that the user accepted the documents with these URLs, in any language. Other URLs are ignored."""
        await self._context.database.write(lambda tx: self.accept_in(tx, user_id, urls))

    def accept_in(self, tx: Tx, user_id: str, urls: Collection[str]) -> None:
        """Like `accept`, in the caller's transaction."""
        given = set(urls)
        now = self._context.clock.now()
        for document in self._documents:
            if given & {text.url for text in document.languages.values()}:
                terms.accept(tx, user_id, document=document.id, version=document.version, now=now)

    async def are_accepted(self, user_id: str) -> bool:
        """Has the user accepted the current version of every document?"""
        if not self._documents:
            return True
        return await self._context.database.read(lambda tx: self.are_accepted_in(tx, user_id))

    def are_accepted_in(self, tx: Tx, user_id: str) -> bool:
        """Like `are_accepted`, in the caller's transaction."""
        if not self._documents:
            return True
        accepted = {(one.document, one.version) for one in terms.accepted(tx, user_id)}
        return all((document.id, document.version) in accepted for document in self._documents)
