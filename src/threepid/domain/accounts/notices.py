"""Notices to an account's contacts about a changed contact, a changed password or the deactivation."""

from collections.abc import Iterable
from typing import Final

from threepid import config
from threepid.clock import DAY
from threepid.domain import languages, messages, outbox
from threepid.domain.addresses import Email, Phone, mask
from threepid.domain.context import Context
from threepid.domain.limits import take_notice
from threepid.domain.outbox import Recipient
from threepid.storage import threepids
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid

_LIFE: Final = 3 * DAY
_CHANNELS: Final = {Email.medium: Email.channel, Phone.medium: Phone.channel}


class Notices:
    """Puts notices into the outbox, in the transaction of the change that they report."""

    def __init__(self, context: Context, settings: config.Accounts) -> None:
        """Send the notices that `settings.notices` lists."""
        self._context = context
        self._told = settings.notices

    def contact_added(self, tx: Tx, user_id: str, contact: Threepid) -> None:
        """Notify the other contacts of a new contact."""
        if "contact_added" in self._told:
            brand, shown = self._context.brand, mask(contact.address)
            message = messages.ContactAdded(brand=brand, user_id=user_id, medium=contact.medium, contact=shown)
            self._tell(tx, user_id, self._others(tx, user_id, contact), message)

    def contact_removed(self, tx: Tx, user_id: str, contact: Threepid) -> None:
        """Notify the remaining contacts of a removed contact."""
        if "contact_removed" in self._told:
            brand, shown = self._context.brand, mask(contact.address)
            message = messages.ContactRemoved(brand=brand, user_id=user_id, medium=contact.medium, contact=shown)
            self._tell(tx, user_id, self._others(tx, user_id, contact), message)

    def password_changed(self, tx: Tx, user_id: str) -> None:
        """Notify all contacts of a new password."""
        if "password_changed" in self._told:
            message = messages.PasswordChanged(brand=self._context.brand, user_id=user_id)
            self._tell(tx, user_id, threepids.of_user(tx, user_id), message)

    def deactivated(self, tx: Tx, user_id: str) -> None:
        """Notify all contacts of the deactivation. Call this before the contacts are removed."""
        if "deactivated" in self._told:
            message = messages.AccountDeactivated(brand=self._context.brand, user_id=user_id)
            self._tell(tx, user_id, threepids.of_user(tx, user_id), message)

    @staticmethod
    def _others(tx: Tx, user_id: str, contact: Threepid) -> Iterable[Threepid]:
        key = contact.medium, contact.canonical
        return [other for other in threepids.of_user(tx, user_id) if (other.medium, other.canonical) != key]

    def _tell(self, tx: Tx, user_id: str, contacts: Iterable[Threepid], message: messages.Message) -> None:
        config, now = self._context.config, self._context.clock.now()
        language = languages.of_account(tx, config, user_id)
        for contact in contacts:
            if (config.email if contact.medium == Email.medium else config.sms) is None:
                continue
            if take_notice(tx, self._context, medium=contact.medium, canonical=contact.canonical):
                job = messages.to_person(
                    message,
                    Recipient(contact.address, language),
                    channel=_CHANNELS[contact.medium],
                    expires_at=now + _LIFE,
                    caller=user_id,
                )
                outbox.put(tx, self._context, job, now=now)
