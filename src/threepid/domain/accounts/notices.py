"""What the other contacts of an account are told: that a contact, the password or the account itself has changed."""

from collections.abc import Iterable
from typing import Final

from threepid import config
from threepid.clock import DAY
from threepid.domain import messages
from threepid.domain.addresses import Email, Phone, mask
from threepid.domain.context import Context
from threepid.domain.limits import take_notice
from threepid.storage import threepids
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid

_LIFE: Final = 3 * DAY
_CHANNELS: Final = {Email.medium: Email.channel, Phone.medium: Phone.channel}


class Notices:
    """Puts notices into the outbox, in the transaction of what they tell of."""

    def __init__(self, context: Context, settings: config.Accounts) -> None:
        """Tell what `settings` let be told."""
        self._context = context
        self._told = settings.notices

    def contact_added(self, tx: Tx, user_id: str, contact: Threepid) -> None:
        """Tell the others of a new contact."""
        if "contact_added" in self._told:
            brand, shown = self._context.brand, mask(contact.address)
            message = messages.ContactAdded(brand=brand, user_id=user_id, medium=contact.medium, contact=shown)
            self._tell(tx, user_id, self._others(tx, user_id, contact), message)

    def contact_removed(self, tx: Tx, user_id: str, contact: Threepid) -> None:
        """Tell those who are left of a contact that is not one any more."""
        if "contact_removed" in self._told:
            brand, shown = self._context.brand, mask(contact.address)
            message = messages.ContactRemoved(brand=brand, user_id=user_id, medium=contact.medium, contact=shown)
            self._tell(tx, user_id, self._others(tx, user_id, contact), message)

    def password_changed(self, tx: Tx, user_id: str) -> None:
        """Tell all contacts of another password."""
        if "password_changed" in self._told:
            message = messages.PasswordChanged(brand=self._context.brand, user_id=user_id)
            self._tell(tx, user_id, threepids.of_user(tx, user_id), message)

    def deactivated(self, tx: Tx, user_id: str) -> None:
        """Tell all contacts of the end of the account, before they are taken from it."""
        if "deactivated" in self._told:
            message = messages.AccountDeactivated(brand=self._context.brand, user_id=user_id)
            self._tell(tx, user_id, threepids.of_user(tx, user_id), message)

    @staticmethod
    def _others(tx: Tx, user_id: str, contact: Threepid) -> Iterable[Threepid]:
        key = contact.medium, contact.canonical
        return [other for other in threepids.of_user(tx, user_id) if (other.medium, other.canonical) != key]

    def _tell(self, tx: Tx, user_id: str, contacts: Iterable[Threepid], message: messages.Message) -> None:
        config, now = self._context.config, self._context.clock.now()
        for contact in contacts:
            if (config.email if contact.medium == Email.medium else config.sms) is None:
                continue
            if take_notice(tx, self._context, medium=contact.medium, canonical=contact.canonical):
                messages.enqueue(
                    tx,
                    self._context,
                    message,
                    channel=_CHANNELS[contact.medium],
                    to=contact.address,
                    language="en",
                    now=now,
                    expires_at=now + _LIFE,
                    caller=user_id,
                )
