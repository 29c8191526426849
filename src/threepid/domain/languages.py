"""The language in which the server speaks to a person: the account's choice, else what the person's app or browser asks for."""

from collections.abc import Iterable

from threepid.config import Config
from threepid.domain.context import Context
from threepid.i18n import Text, catalogues, negotiation
from threepid.spec.errors import InvalidParam
from threepid.storage import preferences
from threepid.storage.engine.database import Tx


def offered(config: Config) -> tuple[str, ...]:
    """The tags of the languages of pages and messages."""
    return config.web.languages or catalogues.languages()


def fitting(config: Config, wishes: Iterable[str]) -> str:
    """The language that fits the first of `wishes` that any fits; else English, if it is offered."""
    return negotiation.best(wishes, offered(config))


def of_account(tx: Tx, config: Config, user_id: str, wishes: Iterable[str] = ()) -> str:
    """The language of messages to an account, or to a person without one (`''`), who may have `wishes`."""
    chosen = preferences.get(tx, user_id).language
    return fitting(config, (chosen, *wishes) if chosen else wishes)


class Languages:
    """The languages that accounts have chosen."""

    def __init__(self, context: Context) -> None:
        """Keep the choices in the database of `context`."""
        self._context = context

    async def chosen(self, user_id: str) -> str | None:
        """The language that an account has chosen, or None if it has chosen none that is offered."""
        kept = await self._context.database.read(lambda tx: preferences.get(tx, user_id).language)
        return kept if kept in offered(self._context.config) else None

    async def choose(self, user_id: str, language: str) -> None:
        """Store the language of an account. Raises InvalidParam for a language that is not offered."""
        if language not in offered(self._context.config):
            raise InvalidParam(Text("This language is not offered here."))
        await self._context.database.write(lambda tx: preferences.set_language(tx, user_id, language))
