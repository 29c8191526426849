"""The language in which the server speaks to a person.

It is the account's choice, else what the person's app or browser asks for, else the server's default.
"""

from collections.abc import Iterable, Sequence

from threepid.config import Config
from threepid.i18n import catalogues, negotiation
from threepid.storage import preferences
from threepid.storage.engine.database import Tx


def offered(config: Config) -> tuple[str, ...]:
    """The tags of the languages of pages and messages."""
    return config.web.languages or catalogues.languages()


def fitting(config: Config, wishes: Iterable[str], available: Sequence[str] = ()) -> str:
    """The language that fits the first of `wishes` that any fits; else the server's default, English, or the first.

    `available` are the languages of a document, in place of those that the server offers.
    """
    default = (config.web.default_language,) if config.web.default_language else ()
    return negotiation.best((*wishes, *default), available or offered(config))


def of_account(tx: Tx, config: Config, user_id: str, wishes: Iterable[str] = ()) -> str:
    """The language of messages to an account, or to a person without one (`''`), who may have `wishes`."""
    return chosen_or_fitting(config, preferences.get(tx, user_id).language, wishes)


def chosen_or_fitting(config: Config, chosen: str, wishes: Iterable[str]) -> str:
    """The language that an account has `chosen` (`''` for none) if it is offered; else the one that fits `wishes`."""
    return fitting(config, (chosen, *wishes) if chosen else wishes)
