"""Tokens that let people register where registration is not open to everybody.

https://spec.matrix.org/latest/client-server-api/#token-authenticated-registration
"""

import re
from collections.abc import Iterator
from typing import Final

from threepid.domain.context import Context
from threepid.domain.limits import Guess
from threepid.spec.errors import InvalidParam, NotFound
from threepid.spec.types import MAX_INTEGER
from threepid.storage import registration_tokens
from threepid.storage.engine.database import Tx
from threepid.storage.registration_tokens import RegistrationToken

_GRAMMAR: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_HINT_LENGTH: Final = 6
_HINTS_TRIED: Final = 10_000
# 26 of 31 letters that nobody takes for each other are 128 bits.
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH: Final = 26


class RegistrationTokens:
    """The server's registration tokens. What is kept is a keyed hash, because operators may choose short ones."""

    def __init__(self, context: Context) -> None:
        """Nobody has a token until `create`."""
        self._context = context

    def hash(self, token: str) -> str:
        """What `use` knows the token by."""
        return self._context.vault.hash_registration_token(token)

    async def guess(self, token: str, *, client: str) -> bool:
        """Could somebody register with it now? Wrong tries of the caller `client` are counted. Raises LimitExceeded."""
        token_hash = self.hash(token)
        guess = Guess(self._context, client=client)

        def step(tx: Tx) -> bool:
            guess.take(tx)
            usable = self._usable(tx, token_hash)
            if usable:
                guess.give_back(tx)
            return usable

        return await self._context.database.write(step)

    def use(self, tx: Tx, token_hash: str) -> bool:
        """Count one registration with the token; False if it cannot be used (any more)."""
        return registration_tokens.use(tx, token_hash, self._context.clock.now())

    async def create(
        self, token: str | None = None, *, uses_allowed: int | None = None, expires_at: int | None = None
    ) -> str:
        """Make a token, this one or a random one, and return it: nobody can read it later. Raises InvalidParam."""
        now = self._context.clock.now()
        if token is None:
            token = self._context.entropy.letters(_LENGTH, _LETTERS)
        if not _GRAMMAR.fullmatch(token):
            raise InvalidParam("A token has 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '~' and '-'.")
        if uses_allowed is not None and not 1 <= uses_allowed <= MAX_INTEGER:
            raise InvalidParam("A token can be used once or more.")
        if expires_at is not None and expires_at <= now:
            raise InvalidParam("A token expires in the future.")
        chosen, token_hash = token, self.hash(token)

        def step(tx: Tx) -> None:
            if registration_tokens.get(tx, token_hash) is not None:
                raise InvalidParam("There is this token already.")
            for hint in _hints(chosen):
                if registration_tokens.insert(
                    tx,
                    token_hash=token_hash,
                    hint=hint,
                    uses_allowed=uses_allowed,
                    created_at=now,
                    expires_at=expires_at,
                ):
                    return
            raise InvalidParam("There are too many tokens that begin alike: please choose another.")

        await self._context.database.write(step)
        return token

    async def all_tokens(self) -> list[RegistrationToken]:
        """All tokens, oldest first."""
        return await self._context.database.read_aside(registration_tokens.all_tokens)

    async def delete(self, name: str) -> RegistrationToken:
        """End the token that `name` (its hint, or itself) stands for, and say which it was.

        Raises NotFound, InvalidParam if it may stand for two.
        """
        if not _GRAMMAR.fullmatch(name):
            raise NotFound("There is no such token.")
        token_hash = self.hash(name)

        def step(tx: Tx) -> RegistrationToken:
            found = registration_tokens.named(tx, token_hash=token_hash, hint=name)
            if len(found) > 1:
                hints = " and ".join(sorted(token.hint for token in found))
                raise InvalidParam(f"That is one token and the hint of another: say {hints}, the other one first.")
            if not found or not registration_tokens.delete(tx, found[0].token_hash):
                raise NotFound("There is no such token.")
            return found[0]

        return await self._context.database.write(step)

    def state(self, token: RegistrationToken) -> str:
        """`usable`, `used up` or `expired`."""
        if token.expires_at is not None and token.expires_at <= self._context.clock.now():
            return "expired"
        return "usable" if token.uses_allowed is None or token.used < token.uses_allowed else "used up"

    def _usable(self, tx: Tx, token_hash: str) -> bool:
        token = registration_tokens.get(tx, token_hash)
        return token is not None and self.state(token) == "usable"


def _hints(token: str) -> Iterator[str]:
    """Names that tell nobody the token: its beginning, with a number where another token begins alike."""
    beginning = token[: min(_HINT_LENGTH, len(token) // 3)] or "~"
    yield beginning
    for number in range(2, _HINTS_TRIED):
        yield f"{beginning}~{number}"
