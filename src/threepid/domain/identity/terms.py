"""Terms of the identity server: what it offers, who accepted what, and who has yet to.

https://spec.matrix.org/latest/identity-service-api/#terms-of-service
"""

from collections.abc import Iterable
from typing import Any

from threepid import config
from threepid.domain.context import Context
from threepid.domain.policy import policies
from threepid.storage import terms
from threepid.storage.engine.database import Tx


class Terms:
    """The terms of the identity server."""

    def __init__(self, context: Context, settings: config.Identity) -> None:
        """Those of `settings`."""
        self._context = context
        self._documents = settings.terms

    def policies(self) -> dict[str, Any]:
        """What is offered."""
        return policies(self._documents)

    async def accept(self, user_id: str, urls: Iterable[str]) -> None:
        """Remember that the user accepted the documents at `urls`, in whichever language; other addresses mean nothing."""
        given = set(urls)
        accepted = [
            document for document in self._documents if given & {text.url for text in document.languages.values()}
        ]
        if not accepted:
            return
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            for document in accepted:
                terms.accept(tx, user_id, document=document.id, version=document.version, now=now)

        await self._context.database.write(step)

    async def are_accepted(self, user_id: str) -> bool:
        """Did the user accept the present version of every document?"""
        if not self._documents:
            return True
        known = await self._context.database.read(lambda tx: terms.accepted(tx, user_id))
        accepted = {(one.document, one.version) for one in known}
        return all((document.id, document.version) in accepted for document in self._documents)
