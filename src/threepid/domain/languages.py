"""The language in which the server speaks to a person: the account's choice, else what the person's app or browser asks for."""

from collections.abc import Iterable

from threepid.config import Config
from threepid.i18n import catalogues, negotiation
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
    return chosen_or_fitting(config, preferences.get(tx, user_id).language, wishes)


def chosen_or_fitting(config: Config, chosen: str, wishes: Iterable[str]) -> str:
    """The language that an account has `chosen` (`''` for none) if it is offered; else the one that fits `wishes`."""
    return fitting(config, (chosen, *wishes) if chosen else wishes)
