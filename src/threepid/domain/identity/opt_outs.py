"""Addresses whose owners have stopped invitations, and the links that stop them."""

import hmac
from typing import Final

from threepid.domain.context import Context
from threepid.storage import invites
from threepid.storage.engine.database import Tx

_HASH_DIGITS: Final = 32


class OptOuts:
    """Stops invitations to an address. Only a keyed hash of the address is stored."""

    def __init__(self, context: Context) -> None:
        """The token of a link is derived from `context.vault`."""
        self._context = context

    def holds_for(self, tx: Tx, medium: str, canonical: str) -> bool:
        """Has the owner of this address stopped invitations?"""
        return invites.opted_out(tx, self._hash(medium, canonical))

    def token(self, medium: str, canonical: str) -> str:
        """The token of the link that stops invitations. It never expires, and is derived from the address instead of stored."""
        address_hash = self._hash(medium, canonical)
        return address_hash + self._seal(address_hash)

    def can_stop(self, token: str) -> bool:
        """Is this the token of a link that stops invitations to an address?"""
        address_hash, seal = token[:_HASH_DIGITS], token[_HASH_DIGITS:]
        return hmac.compare_digest(self._seal(address_hash).encode(), seal.encode("utf-8", "surrogatepass"))

    async def stop(self, token: str) -> bool:
        """Send no more invitations to the address of the token; False if the token is not one of ours."""
        if not self.can_stop(token):
            return False
        now = self._context.clock.now()
        await self._context.database.write(lambda tx: invites.opt_out(tx, token[:_HASH_DIGITS], now))
        return True

    def _hash(self, medium: str, canonical: str) -> str:
        return self._context.vault.hash_limit_key(f"no invitations to {medium} {canonical}")[:_HASH_DIGITS]

    def _seal(self, address_hash: str) -> str:
        return self._context.vault.hash_limit_key(f"link to stop invitations {address_hash}")[:_HASH_DIGITS]
