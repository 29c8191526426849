"""The languages that accounts have chosen."""

from threepid.domain import audit
from threepid.domain.context import Context
from threepid.domain.languages import offered
from threepid.domain.origin import Origin
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam
from threepid.storage import preferences
from threepid.storage.engine.database import Tx


class Languages:
    """Reads and stores the language of an account."""

    def __init__(self, context: Context) -> None:
        """Keep the choices in the database of `context`."""
        self._context = context

    async def chosen(self, user_id: str) -> str | None:
        """The language that an account has chosen, or None if it has chosen none that is offered."""
        kept = await self._context.database.read(lambda tx: preferences.get(tx, user_id).language)
        return kept if kept in offered(self._context.config) else None

    async def choose(self, user_id: str, language: str, origin: Origin) -> None:
        """Store the language of an account. Raises InvalidParam for a language that is not offered."""
        if language not in offered(self._context.config):
            raise InvalidParam(Text("This language is not offered here."))

        def step(tx: Tx) -> None:
            if preferences.get(tx, user_id).language != language:
                preferences.set_language(tx, user_id, language)
                audit.note(tx, self._context, audit.Event.LANGUAGE_CHANGED, user_id, origin, language=language)

        await self._context.database.write(step)
