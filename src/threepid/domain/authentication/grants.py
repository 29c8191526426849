"""The permission that User-Interactive Authentication or a confirmed browser session gives."""

from typing import Final

from msgspec import Struct

from threepid.clock import MINUTE
from threepid.domain.audit import OWNER, Caller, CallerKind
from threepid.domain.authentication.stages import Proof
from threepid.domain.origin import Origin
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, UnknownToken
from threepid.storage import accounts, devices, uia, validations, web_sessions
from threepid.storage.engine.database import Tx

CONFIRMED: Final = 10 * MINUTE
"""How long a proof of ownership in a browser permits changes of the account."""


class Grant(Struct, frozen=True):
    """The permission for one operation. `result` is the operation's result if the session was finished before.

    `registration_token` is the hash of the registration token to use up, `terms` are the accepted documents and versions.
    `device` is the user ID and device ID of the caller, if logged in: the permission is invalid once the device is logged out.
    `browser` is the user ID and token hash of a browser session: it must still exist and be confirmed.
    """

    now: int
    id_hash: bytes | None = None
    proofs: tuple[Proof, ...] = ()
    result: str | None = None
    registration_token: str | None = None
    terms: tuple[tuple[str, str], ...] = ()
    device: tuple[str, str] | None = None
    browser: tuple[str, bytes] | None = None
    origin: Origin = Origin()
    """The origin of the request for the operation, for the security log."""
    by: Caller = OWNER
    """Who does it, for the security log."""
    spared: str = ""
    """The user ID of an account that must not be changed if it may administer the homeserver; '' for none."""

    def consume(self, tx: Tx, result: str | None = None) -> None:
        """Use the permission up in the transaction of its operation, a write.

        Raises Forbidden if it was used up already or the browser session is over, UnknownToken if the device was logged out.
        """
        if self.spared:
            accounts.lock(tx, self.spared)  # so that nobody makes it an administrator's before this is done
            if accounts.is_admin(tx, self.spared):
                raise Forbidden(
                    Text("This account may administer the server: only a token with admins:write changes it.")
                )
        if self.device is not None:
            user_id, device_id = self.device
            if not accounts.lock(tx, user_id) or not devices.hold_device(tx, user_id, device_id):
                raise UnknownToken
        if self.browser is not None and abs(self.now - self._held_browser(tx, *self.browser).confirmed_at) > CONFIRMED:
            raise Forbidden(Text("Please confirm again that it is you."))
        if self.id_hash is not None and not uia.consume(tx, self.id_hash, now=self.now, result=result):
            raise Forbidden(Text("This authentication session has already been used."))
        for proof in self.proofs:
            if not validations.consume(tx, proof.sid, self.now):
                raise Forbidden(Text("The validation of this address has already been used."))

    def hold_browser(self, tx: Tx) -> None:
        """Check only that the browser is still signed in, for what needs no new proof. Raises Forbidden if it is not."""
        if self.browser is not None:
            self._held_browser(tx, *self.browser)

    @staticmethod
    def _held_browser(tx: Tx, user_id: str, token_hash: bytes) -> web_sessions.WebSession:
        session = web_sessions.hold(tx, token_hash) if accounts.lock(tx, user_id) else None
        if session is None or session.user_id != user_id:
            raise Forbidden(Text("You have been signed out. Please sign in again."))
        return session


AT_THE_SERVER: Final = Grant(0, by=Caller(CallerKind.OPERATOR))
"""The permission of a person or program at the server itself, which nobody names."""
