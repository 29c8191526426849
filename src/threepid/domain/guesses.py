"""Guesses of passwords and tokens, and the limits for wrong ones."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from threepid.config import Limit
from threepid.domain.context import Context
from threepid.domain.networks import site_of
from threepid.domain.uses import PART_OF_TOTAL, Counted, as_wanted, from_networks, kind, take_wanted
from threepid.i18n import Text
from threepid.spec.errors import LimitExceeded
from threepid.storage import limits
from threepid.storage.engine.database import Tx

_TOO_MANY_GUESSES: Final = Text("There were too many wrong attempts recently. Please wait %(wait)s.")


class Guess:
    """A guess of a password or token. Wrong guesses count against the limits.

    A guess that is checked in a transaction is counted first (`take`) and given back if it was right. A password is checked
    outside of transactions: `refuse_if_none_is_left` admits no more at once than the limits allow if all are wrong, and a wrong
    one is counted before the caller learns the result. Other processes may check more at the same time, but also count them.
    """

    def __init__(
        self,
        context: Context,
        *,
        client: str,
        typed: str = "",
        account: str = "",
        known: bool = False,
        logged_in: bool = False,
    ) -> None:
        """A guess of a caller at `client` who `typed` a name or an address of `account`, in its canonical form.

        Limits that reject openly count by what was typed: if they counted by account, a rejection would reveal whose address
        that is. The account's own limit rejects silently: see `is_spent`. Guesses of strangers do not hold up callers who are
        `logged_in` to the account, or in a network that it has used (`known`).
        """
        settings = context.config.limits
        here = settings.guesses_at_account_from_client
        counted, silent = [], []
        if logged_in:
            # By account and not by network, so that strangers behind the same address do not hold up the account's devices.
            counted.append(Counted(f"guess by the devices of {account} lately", here))
            counted.append(Counted(f"guess by the devices of {account}", settings.guesses_at_account))
        else:
            counted += from_networks("guess", client, settings.guesses_from_client, wide=not known)
        # The typed text comes last in the key: it can be anything, and must not make the key equal to that of another limit.
        if typed and not logged_in:
            counted += from_networks("guess", client, here, about=f" at {typed}", wide=not known)
        if account and not logged_in and not known:
            whole = settings.guesses_at_account
            # Over all names and /64 networks, one site gets a tenth of the account's limit, but at least what one caller may try
            # at one name: otherwise a right password could be rejected silently before any open limit is reached.
            part = Limit(
                burst=max(whole.burst // PART_OF_TOTAL, here.burst),
                per_hour=max(whole.per_hour / PART_OF_TOTAL, here.per_hour),
            )
            silent.append(Counted(f"guess from {site_of(client)} at the account {account}", part))
            silent.append(Counted(f"guess at {account}", whole))
        self._context = context
        self._wanted = as_wanted(context, counted)
        self._silent = as_wanted(context, silent)
        self.keys = tuple(one.key for one in (*self._wanted, *self._silent))
        """The hashed keys of the limits that the guess counts against."""

    def full_at(self, tx: Tx) -> Mapping[str, int]:
        """When each limit is full again, in milliseconds by key, for `refuse_if_none_is_left` and `is_spent`."""
        wanted = (*self._wanted, *self._silent)
        return limits.full_at(tx, wanted, now=self._context.clock.now()) if wanted else {}

    def refuse_if_none_is_left(
        self, full_at: Mapping[str, int], pending: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Raise LimitExceeded if the limits do not allow this guess and the `pending` ones (a number by key) to be wrong."""
        for one in self._wanted:
            wait = self._wait(one, full_at, pending)
            if wait > 0:
                raise LimitExceeded(wait, _TOO_MANY_GUESSES, limit=kind(one))

    def is_spent(self, full_at: Mapping[str, int], pending: Mapping[str, int] = MappingProxyType({})) -> bool:
        """Is the account's own limit used up? Then a right guess is answered and counted like a wrong one."""
        return any(self._wait(one, full_at, pending) > 0 for one in self._silent)

    def take(self, tx: Tx) -> bool:
        """Count the guess; False if the account's own limit is used up: then a right guess must be answered like a wrong one.

        Raises LimitExceeded; then nothing is counted, and the caller must not learn whether the guess was right.
        """
        take_wanted(tx, self._context, self._wanted, _TOO_MANY_GUESSES)
        return not self._silent or limits.take(tx, self._silent, now=self._context.clock.now()) is None

    def give_back(self, tx: Tx) -> None:
        """Give a right guess back that `take` has counted."""
        limits.give_back(tx, (*self._wanted, *self._silent))

    def _wait(self, one: limits.Wanted, full_at: Mapping[str, int], pending: Mapping[str, int]) -> int:
        now = self._context.clock.now()
        return max(now, full_at.get(one.key, 0)) + one.interval * pending.get(one.key, 0) - one.latest(now)
