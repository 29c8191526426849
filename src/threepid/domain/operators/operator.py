"""An operator: a person at the command line, or the holder of an operator token."""

from msgspec import Struct

from threepid.domain import audit
from threepid.domain.audit import Caller, CallerKind, Event
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.spec.operator_scopes import Scope
from threepid.storage.engine.database import Tx


class Operator(Struct, frozen=True):
    """Who acts, for the audit log, and what it permits."""

    name: str
    """The token's name, or `command line:` and the name of the system's user."""
    origin: Origin
    scopes: frozenset[str] = frozenset()
    """`Scope`s that were given. An account that may administer the homeserver is changed only with `ADMINS_WRITE`."""

    @property
    def caller(self) -> Caller:
        """The caller in entries of the audit log."""
        return Caller(CallerKind.OPERATOR, self.name)

    def grant(self, user_id: str) -> Grant:
        """The permission for one change of an account. Its use raises Forbidden for an administrator that is out of reach."""
        spared = "" if Scope.ADMINS_WRITE in self.scopes else user_id
        return Grant(self.origin.at, origin=self.origin, by=self.caller, spared=spared)

    def note(self, tx: Tx, context: Context, event: Event, user_id: str, **details: str | int) -> None:
        """Append what the operator does to the audit log: about the account `user_id`, '' for none."""
        audit.note(tx, context, event, user_id, self.origin, by=self.caller, **details)

    def require(self, scope: Scope) -> None:
        """Raise Forbidden without the scope."""
        if scope not in self.scopes:
            raise Forbidden(Text("The token does not have the scope %(scope)s.", scope=scope.value))
