"""Registration tokens, which let people register when registration is not open to everybody.

https://spec.matrix.org/latest/client-server-api/#token-authenticated-registration
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from threepid.domain.context import Context
from threepid.domain.guesses import Guess
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, NotFound
from threepid.spec.types import MAX_INTEGER
from threepid.storage import registration_tokens
from threepid.storage.engine.database import Tx
from threepid.storage.registration_tokens import RegistrationToken

_GRAMMAR: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_HINT_LENGTH: Final = 6
_HINTS_TRIED: Final = 10_000
# 31 characters that people do not confuse; 26 of them hold 128 bits.
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH: Final = 26


Note = Callable[[Tx, str], None]
"""Notes a change of the token with a hint, in the transaction of the change."""


class RegistrationTokens:
    """The server's registration tokens. Only a keyed hash is stored, because operators may choose short tokens."""

    def __init__(self, context: Context) -> None:
        """Manage the tokens in the database of `context`."""
        self._context = context

    def hash(self, token: str) -> str:
        """The keyed hash that `use` takes."""
        return self._context.vault.hash_registration_token(token)

    async def guess(self, token: str, *, client: str) -> bool:
        """Is the token usable now? Wrong guesses count against the client address `client`. Raises LimitExceeded."""
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
        """Count one registration with the token; False if the token is unknown, expired or used up."""
        return registration_tokens.use(tx, token_hash, self._context.clock.now())

    async def create(
        self,
        token: str | None = None,
        *,
        uses_allowed: int | None = None,
        expires_at: int | None = None,
        note: Note,
    ) -> str:
        """Create `token`, or a random one, and return it. It cannot be read later. Raises InvalidParam."""
        now = self._context.clock.now()
        if token is None:
            token = self._context.entropy.letters(_LENGTH, _LETTERS)
        if not _GRAMMAR.fullmatch(token):
            raise InvalidParam(
                Text("A token must have 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_', '~' and '-'.")
            )
        if uses_allowed is not None and not 1 <= uses_allowed <= MAX_INTEGER:
            raise InvalidParam(Text("A token must allow at least one use."))
        if expires_at is not None and expires_at <= now:
            raise InvalidParam(Text("The expiry time must be in the future."))
        chosen, token_hash = token, self.hash(token)

        def step(tx: Tx) -> None:
            if registration_tokens.get(tx, token_hash) is not None:
                raise InvalidParam(Text("This token exists already."))
            for hint in _hints(chosen):
                if registration_tokens.insert(
                    tx,
                    token_hash=token_hash,
                    hint=hint,
                    uses_allowed=uses_allowed,
                    created_at=now,
                    expires_at=expires_at,
                ):
                    note(tx, hint)
                    return
            raise InvalidParam(Text("Too many tokens begin with these characters. Choose another token."))

        await self._context.database.write(step)
        return token

    async def all_tokens(self) -> list[RegistrationToken]:
        """All tokens, oldest first."""
        return await self._context.database.read_aside(registration_tokens.all_tokens)

    async def delete(self, name: str, note: Note) -> RegistrationToken:
        """Delete the token whose text or hint is `name`, and return it.

        Raises NotFound, or InvalidParam if `name` is one token and the hint of another.
        """
        if not _GRAMMAR.fullmatch(name):
            raise NotFound(Text("This token does not exist."))
        token_hash = self.hash(name)

        def step(tx: Tx) -> RegistrationToken:
            found = registration_tokens.named(tx, token_hash=token_hash, hint=name)
            if len(found) > 1:
                hints = " and ".join(sorted(token.hint for token in found))
                raise InvalidParam(
                    Text(
                        "This is a token, and also the hint of another token. "
                        "Delete the tokens with the hints %(hints)s, the other one first.",
                        hints=hints,
                    )
                )
            if not found or not registration_tokens.delete(tx, found[0].token_hash):
                raise NotFound(Text("This token does not exist."))
            note(tx, found[0].hint)
            return found[0]

        return await self._context.database.write(step)

    def state(self, token: RegistrationToken) -> str:
        """The token's state: `usable`, `used up` or `expired`."""
        if token.expires_at is not None and token.expires_at <= self._context.clock.now():
            return "expired"
        return "usable" if token.uses_allowed is None or token.used < token.uses_allowed else "used up"

    def _usable(self, tx: Tx, token_hash: str) -> bool:
        token = registration_tokens.get(tx, token_hash)
        return token is not None and self.state(token) == "usable"


def _hints(token: str) -> Iterator[str]:
    """Names that do not reveal the token: its first characters, then these with a number, for tokens that begin alike."""
    beginning = token[: min(_HINT_LENGTH, len(token) // 3)] or "~"
    yield beginning
    for number in range(2, _HINTS_TRIED):
        yield f"{beginning}~{number}"
