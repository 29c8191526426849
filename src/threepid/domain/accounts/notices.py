"""Notices to an account's contacts of what happened to it. The owner can switch the optional ones off.

The transaction of a change queues one job, which says what happened and who the contacts were. `spread` replaces it by a message
to each contact, when the delivery has time: a caller who changes something does not wait for that.
"""

from collections.abc import Container, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from threepid import config
from threepid.clock import DAY, MINUTE
from threepid.domain import audit, languages, messages, outbox
from threepid.domain.accounts.accounts import require_active
from threepid.domain.addresses import Email, Phone, mask
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.limits import take_notices
from threepid.domain.origin import Origin
from threepid.domain.outbox import Recipient
from threepid.storage import accounts, preferences, threepids
from threepid.storage import outbox as stored
from threepid.storage.engine.database import Tx
from threepid.storage.outbox import ClaimedJob
from threepid.storage.threepids import Threepid

CHANNEL: Final = "notice"
"""Channel of the outbox for jobs that wait to be spread. The `recipient` is the user ID."""
OPTIONAL: Final[tuple[config.Notice, ...]] = ("new_sign_in", "bound", "unbound")
"""The notices that owners can switch off."""
_LIFE: Final = 3 * DAY
_NEW_ACCOUNT: Final = 10 * MINUTE
"""After its registration, the first sign-ins of an account are no news."""
_CHANNELS: Final[dict[str, messages.Channel]] = {Email.medium: Email.channel, Phone.medium: Phone.channel}


class _Contact(Struct, frozen=True, array_like=True):
    """A contact as it was at the event: it may be removed before its message is queued."""

    medium: str
    canonical: str
    address: str


class _Params(Struct, frozen=True):
    """The parameters of a job that waits to be spread."""

    message: msgspec.Raw
    """The parameters of the message to each contact."""
    contacts: list[_Contact]
    optional: bool


class Choices(Struct, frozen=True):
    """The notices of an account that the server sends: those that are always sent, and the optional ones."""

    always: tuple[str, ...]
    optional: dict[str, bool]
    """By name: is it switched on?"""


class Notices:
    """Queues notices in the transaction of the change that they report, and spreads them."""

    def __init__(self, context: Context, settings: config.Accounts) -> None:
        """Send the notices that `settings.notices` lists."""
        self._context = context
        self._told = settings.notices
        self._recover_with = settings.recover_with

    def contact_added(self, tx: Tx, user_id: str, contact: Threepid) -> None:
        """Notify the other contacts of a new contact."""
        brand, shown = self._context.brand, mask(contact.address)
        message = messages.ContactAdded(
            brand=brand,
            user_id=user_id,
            medium=contact.medium,
            contact=shown,
            recovers=int(contact.medium in self._recover_with),
        )
        self._tell(tx, user_id, "contact_added", message, but=contact)

    def contact_removed(self, tx: Tx, user_id: str, contact: Threepid) -> None:
        """Notify the remaining contacts of a removed contact."""
        brand, shown = self._context.brand, mask(contact.address)
        message = messages.ContactRemoved(brand=brand, user_id=user_id, medium=contact.medium, contact=shown)
        self._tell(tx, user_id, "contact_removed", message, but=contact)

    def password_changed(self, tx: Tx, user_id: str) -> None:
        """Notify all contacts of a new password."""
        message = messages.PasswordChanged(brand=self._context.brand, user_id=user_id)
        self._tell(tx, user_id, "password_changed", message)

    def deactivated(self, tx: Tx, user_id: str) -> None:
        """Notify all contacts of the deactivation. Call this before the contacts are removed."""
        message = messages.AccountDeactivated(brand=self._context.brand, user_id=user_id)
        self._tell(tx, user_id, "deactivated", message)

    def suspicious(self, tx: Tx, user_id: str, origin: Origin) -> None:
        """Notify all contacts that a spent refresh token was used again, so that its family was revoked."""
        message = messages.Suspicious(brand=self._context.brand, user_id=user_id, origin=origin.in_message())
        self._tell(tx, user_id, "suspicious", message)

    def new_sign_in(self, tx: Tx, user_id: str, origin: Origin) -> None:
        """Notify all contacts of a device or browser that signs in, unless the account was registered a short time ago.

        A device that is signed in again counts as well, because its ID is no secret.
        """
        account = accounts.get(tx, user_id)
        if account is not None and not 0 <= self._context.clock.now() - account.created_at < _NEW_ACCOUNT:
            message = messages.NewSignIn(brand=self._context.brand, user_id=user_id, origin=origin.in_message())
            self._tell(tx, user_id, "new_sign_in", message)

    def bound(self, tx: Tx, user_id: str, medium: str, canonical: str) -> None:
        """Notify all contacts that people can find the account by an address."""
        message = messages.Bound(brand=self._context.brand, user_id=user_id, contact=_masked(medium, canonical))
        self._tell(tx, user_id, "bound", message)

    def unbound(self, tx: Tx, user_id: str, medium: str, canonical: str) -> None:
        """Notify all contacts that people cannot find the account by an address any more."""
        message = messages.Unbound(brand=self._context.brand, user_id=user_id, contact=_masked(medium, canonical))
        self._tell(tx, user_id, "unbound", message)

    async def choices(self, user_id: str) -> Choices:
        """The notices that the account gets, and those that it can switch on or off."""
        muted = await self._context.database.read(lambda tx: preferences.get(tx, user_id).muted)
        return Choices(
            tuple(event for event in self._told if event not in OPTIONAL),
            {event: event not in muted for event in OPTIONAL if event in self._told},
        )

    async def choose(self, user_id: str, wanted: Container[str], grant: Grant) -> None:
        """Switch the optional notices on that `wanted` contains, and the others off. Uses `grant` up.

        Notifies all contacts of those that are switched off. A notice that the server does not send keeps the owner's earlier
        choice. Raises Forbidden.
        """
        offered = {event for event in OPTIONAL if event in self._told}

        def step(tx: Tx) -> None:
            grant.consume(tx)
            require_active(tx, user_id)
            before = preferences.get(tx, user_id).muted
            muted = (before - offered) | {event for event in offered if event not in wanted}
            if muted == before:
                return
            preferences.set_muted(tx, user_id, muted)
            audit.note(
                tx, self._context, audit.Event.NOTICES_CHANGED, user_id, grant.origin, off=" ".join(sorted(muted))
            )
            switched_off = " ".join(event for event in OPTIONAL if event in muted - before)
            if switched_off:
                brand = self._context.brand
                message = messages.NoticesChanged(brand=brand, user_id=user_id, switched_off=switched_off)
                self._tell(tx, user_id, "notices_changed", message)

        await self._context.database.write(step)

    def _tell(
        self, tx: Tx, user_id: str, event: config.Notice, message: messages.Message, *, but: Threepid | None = None
    ) -> None:
        """Send a notice to all contacts of the account except `but`, if operator and owner want it."""
        optional = event in OPTIONAL
        if event not in self._told or (optional and event in preferences.get(tx, user_id).muted):
            return
        contacts = [one for one in _others(threepids.of_user(tx, user_id), but) if self._reaches(one)]
        if not contacts:
            return
        places = [_Contact(one.medium, one.canonical, one.address) for one in contacts]
        now = self._context.clock.now()
        job = outbox.Job(
            channel=CHANNEL,
            name=message.template,
            recipient=Recipient(user_id, languages.of_account(tx, self._context.config, user_id)),
            params=_Params(msgspec.Raw(msgspec.json.encode(message)), places, optional),
            urgency=message.urgency,
            caller=user_id,
            expires_at=now + _LIFE,
        )
        outbox.put(tx, self._context, job, now=now)

    async def spread(self, job: ClaimedJob) -> None:
        """Replace the job by a message to each contact that no limit forbids. A job that is gone was spread before."""
        params = msgspec.json.decode(job.params, type=_Params)
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            if not stored.delete(tx, job.id):
                return
            places = [(one.medium, one.canonical) for one in params.contacts]
            allowed = take_notices(tx, self._context, places, optional=params.optional)
            for medium, channel in _CHANNELS.items():
                recipients = [
                    Recipient(one.address, job.language)
                    for one in params.contacts
                    if one.medium == medium and (medium, one.canonical) in allowed
                ]
                if recipients:
                    message = outbox.Job(
                        channel=channel,
                        name=job.template,
                        recipient=recipients[0],
                        params=params.message,
                        urgency=outbox.Urgency.NOTICE,
                        caller=job.recipient,
                        expires_at=job.expires_at,
                    )
                    outbox.put_for_all(tx, self._context, message, recipients, now=now)

        await self._context.database.write(step)

    def _reaches(self, contact: Threepid) -> bool:
        """Can the server send messages to this kind of contact?"""
        config = self._context.config
        return (config.email if contact.medium == Email.medium else config.sms) is not None


def _place(contact: Threepid) -> tuple[str, str]:
    return contact.medium, contact.canonical


def _others(contacts: Iterable[Threepid], but: Threepid | None) -> Iterable[Threepid]:
    if but is None:
        return contacts
    return [other for other in contacts if _place(other) != _place(but)]


def _masked(medium: str, canonical: str) -> str:
    return mask(f"+{canonical}" if medium == Phone.medium else canonical)
