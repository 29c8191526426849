"""Helps people with their accounts: passwords, contacts, devices, browser sessions. Every act is in the audit log."""

from typing import Any

from threepid.domain import audit
from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.devices import Devices
from threepid.domain.addresses import Address, parse_address
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.contacts.threepids import Threepids
from threepid.domain.context import Context
from threepid.domain.lifecycle.administration import Administration
from threepid.domain.lifecycle.closing import Closing
from threepid.domain.lifecycle.export import Export
from threepid.domain.lifecycle.recovery import Recovery
from threepid.domain.lifecycle.registration import Registration
from threepid.domain.lifecycle.sessions import Sessions
from threepid.domain.operators.operator import Operator
from threepid.i18n import Text
from threepid.spec.errors import NotFound
from threepid.spec.operator_scopes import Scope
from threepid.storage import devices, threepids, web_sessions
from threepid.storage.engine.database import Tx

_NO_CONTACT = Text("The account has no such contact.")
_NO_RECIPIENT = Text("The account has no contact to which this server sends such a link.")


class Support:
    """Changes accounts for operators. `user_id` is an existing account, as `Directory.find` returns it."""

    def __init__(
        self,
        context: Context,
        threepids: Threepids,
        recovery: Recovery,
        devices: Devices,
        web_sessions: WebSessions,
        sessions: Sessions,
        administration: Administration,
        closing: Closing,
        registration: Registration,
        export: Export,
    ) -> None:
        """Act through the services that the owners of accounts use."""
        self._context = context
        self._threepids = threepids
        self._recovery = recovery
        self._devices = devices
        self._web_sessions = web_sessions
        self._sessions = sessions
        self._administration = administration
        self._closing = closing
        self._registration = registration
        self._export = export

    async def check_username(self, username: str) -> None:
        """Check that `create` would take the username. Raises InvalidUsername, UserInUse and Unavailable."""
        await self._registration.check_username(username, by_operator=True)

    async def check_active(self, user_id: str, operator: Operator) -> None:
        """Check that the operator can change the account. Raises Forbidden if it is deactivated."""
        await self._context.database.write(lambda tx: require_active(tx, user_id, by=operator.caller))

    async def create(self, username: str, password: str | None, operator: Operator) -> str:
        """Create an account and return its user ID: see `Registration.create`."""
        return await self._registration.create(username, password, operator.grant(""))

    async def export(self, user_id: str, operator: Operator) -> dict[str, Any]:
        """The data of the account: see `Export.of`. Raises Forbidden, also without the scopes for what is in it."""
        operator.require(Scope.AUDIT_READ)
        operator.require(Scope.MESSAGES_READ)
        return await self._export.of(user_id, operator.grant(user_id))

    async def set_password(self, user_id: str, password: str, operator: Operator, *, log_out_devices: bool) -> None:
        """Set the account's password. Raises WeakPassword, InvalidParam and Forbidden."""
        await self._recovery.set_for(user_id, password, operator.grant(user_id), log_out_devices=log_out_devices)

    async def send_link(self, user_id: str, operator: Operator) -> str:
        """Send a code and a link by which the owner chooses a password, to the first contact that can get it.

        Returns the address. Raises NotFound without such a contact, Forbidden, and LimitExceeded.
        """
        grant = operator.grant(user_id)
        contacts = await self._context.database.read(lambda tx: threepids.of_user(tx, user_id))
        contact = next((one for one in contacts if one.medium in self._recovery.media), None)
        if contact is None:
            await self._context.database.write(grant.consume)  # Forbidden says more than NotFound
            raise NotFound(_NO_RECIPIENT)
        shown = audit.contact(self._context, contact.medium, contact.canonical)

        def note(tx: Tx) -> None:
            grant.consume(tx)
            if threepids.owner(tx, contact.medium, contact.canonical) != user_id:
                raise NotFound(_NO_RECIPIENT)  # it was removed meanwhile, or is somebody else's by now
            event = audit.Event.LINK_SENT
            audit.note(tx, self._context, event, user_id, operator.origin, by=operator.caller, contact=shown)

        await self._recovery.begin(
            parse_address(contact.medium, contact.address),
            client="",
            client_secret=self._context.entropy.token(count=24),
            send_attempt=1,
            origin=operator.origin,
            languages=(),
            note=note,
        )
        return contact.address

    async def add_contact(self, user_id: str, address: Address, operator: Operator) -> None:
        """Add an address that the operator knows to be the owner's. Raises ThreepidDenied, ThreepidInUse and Forbidden."""
        await self._threepids.add_for(user_id, address, operator.grant(user_id))

    async def verify_contact(self, user_id: str, address: Address, operator: Operator) -> None:
        """Record that a contact is still the owner's. Raises NotFound, ThreepidDenied and Forbidden."""
        await self._require_contact(user_id, address)
        try:
            await self._threepids.verify_for(user_id, address, operator.grant(user_id))
        except NotFound:  # it was removed meanwhile
            raise NotFound(_NO_CONTACT) from None

    async def remove_contact(self, user_id: str, address: Address, operator: Operator) -> bool:
        """Remove a contact and unbind its address: see `Threepids.remove`. Raises NotFound, Forbidden and LimitExceeded."""
        await self._require_contact(user_id, address)
        grant = operator.grant(user_id)
        return await self._threepids.remove(
            user_id, address.medium, address.address, None, origin=operator.origin, grant=grant
        )

    async def log_out(self, user_id: str, device_id: str, operator: Operator) -> None:
        """Log a device out. Raises NotFound and Forbidden."""
        if await self._context.database.read(lambda tx: devices.get(tx, user_id, device_id)) is None:
            raise NotFound(Text("The account has no such device."))
        await self._devices.delete(user_id, [device_id], operator.grant(user_id))

    async def end_session(self, user_id: str, session_id: str, operator: Operator) -> None:
        """Sign a browser out. Raises NotFound and Forbidden."""
        found = await self._context.database.read(lambda tx: web_sessions.of_user(tx, user_id))
        if session_id not in {one.session_id for one in found}:
            raise NotFound(Text("The account has no such browser session."))
        await self._web_sessions.end(user_id, session_id, operator.origin, grant=operator.grant(user_id))

    async def log_out_everywhere(self, user_id: str, operator: Operator) -> None:
        """Log out all devices and browsers. Raises Forbidden."""
        await self._sessions.end_others(user_id, "", operator.grant(user_id))

    async def lock(self, user_id: str, operator: Operator) -> bool:
        """Lock the account: see `Administration.lock`. Raises Forbidden."""
        return await self._administration.lock(user_id, operator.grant(user_id))

    async def unlock(self, user_id: str, operator: Operator) -> bool:
        """Unlock the account: see `Administration.unlock`. Raises Forbidden."""
        return await self._administration.unlock(user_id, operator.grant(user_id))

    async def deactivate(self, user_id: str, operator: Operator, *, erase: bool) -> bool:
        """Deactivate the account: see `Closing.deactivate`. Raises Forbidden."""
        return await self._closing.close_by_operator(user_id, operator.grant(user_id), erase=erase)

    async def reactivate(self, user_id: str, password: str | None, operator: Operator) -> None:
        """Undo a deactivation: see `Administration.reactivate`. Raises WeakPassword, Forbidden and Unavailable."""
        await self._administration.reactivate(user_id, password, operator.grant(user_id))

    async def set_admin(self, user_id: str, operator: Operator, *, is_admin: bool) -> bool:
        """Make the account an administrator's, or an ordinary one: see `Administration.set_admin`. Raises Forbidden."""
        operator.require(Scope.ADMINS_WRITE)
        return await self._administration.set_admin(user_id, operator.grant(user_id), is_admin=is_admin)

    async def _require_contact(self, user_id: str, address: Address) -> None:
        owner = await self._context.database.read(lambda tx: threepids.owner(tx, address.medium, address.canonical))
        if owner != user_id:
            raise NotFound(_NO_CONTACT)
