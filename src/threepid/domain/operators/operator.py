"""An operator: a person at the command line, or the holder of an operator token."""

from msgspec import Struct

from threepid.domain.audit import Caller, CallerKind
from threepid.domain.authentication.grants import Grant
from threepid.domain.origin import Origin


class Operator(Struct, frozen=True):
    """Who acts, for the audit log, and whether that includes accounts that may administer the homeserver."""

    name: str
    """The token's name, or `command line:` and the name of the system's user."""
    origin: Origin
    changes_admins: bool = False

    @property
    def caller(self) -> Caller:
        """The caller in entries of the audit log."""
        return Caller(CallerKind.OPERATOR, self.name)

    def grant(self, user_id: str) -> Grant:
        """The permission for one change of an account. Its use raises Forbidden for an administrator that is out of reach."""
        spared = "" if self.changes_admins else user_id
        return Grant(self.origin.at, origin=self.origin, by=self.caller, spared=spared)
