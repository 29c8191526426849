"""Finds accounts for operators, and shows them."""

from typing import Final

from threepid.domain import counted, suppressions
from threepid.domain import origin as origins
from threepid.domain.accounts.accounts import Accounts, in_small_letters
from threepid.domain.addresses import Address, Email, InvalidAddress, Phone, mask, parse_address, parse_phone, trim
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.context import Context
from threepid.domain.operators.views import (
    AccountView,
    ContactView,
    DeviceView,
    MessageView,
    SessionView,
    Summary,
)
from threepid.domain.queue import state
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, NotFound
from threepid.storage import accounts, audit, devices, outbox, remains, threepids, web_sessions
from threepid.storage.engine.database import Tx
from threepid.storage.outbox import Listed
from threepid.storage.remains import Remains
from threepid.storage.threepids import Threepid

MOST_LISTED: Final = 100
"""Maximum number of rows of one page."""
_ALL_WAYS: Final = ("user", Email.medium, Phone.medium)
_LONGEST: Final = 512
_UNKNOWN: Final = Text("There is no such account.")


class Directory:
    """The accounts, as operators see them."""

    def __init__(self, context: Context, found: Accounts, sessions: WebSessions) -> None:
        """`found` knows what identifies an account."""
        self._context = context
        self._accounts = found
        self._sessions = sessions

    async def find(self, text: str) -> str:
        """The user ID of the account that an operator names by username, user ID, address or number.

        Raises NotFound, and InvalidParam for a wrong address or number.
        """
        text = trim(text)
        if text and len(text) <= _LONGEST:
            address = typed_address(text)
            if address is not None:
                named = await self._accounts.find(medium=address.medium, address=address.address, ways=_ALL_WAYS)
            else:
                name = text if ":" in text else text.removeprefix("@")
                named = await self._accounts.find(user=name, ways=_ALL_WAYS)
            if named.account is not None:
                return named.account.user_id
        raise NotFound(_UNKNOWN)

    async def search(
        self, text: str, *, after: str = "", count: int = MOST_LISTED, anywhere: bool = False
    ) -> list[Summary]:
        """The next `count` accounts after the user ID `after`: with an address, its owner; else by the beginning of the username.

        It is found as it is typed and in small letters. With `anywhere`, `text` may be in the middle of a username, in whatever
        case: that reads all usernames. An empty `text` lists all accounts.
        """
        text = trim(text)
        if len(text) > _LONGEST or "\0" in text:
            return []
        address = typed_address(text)
        beginning = text if text.startswith("@") else f"@{text}"

        def step(tx: Tx) -> list[accounts.AccountSummary]:
            if address is None and anywhere and text and not text.startswith("@"):
                return accounts.with_part(tx, text.lower(), after, count)
            if address is None:
                found: list[accounts.AccountSummary] = []
                for spelling in {beginning, in_small_letters(beginning)}:  # neither is the beginning of the other
                    found += accounts.by_beginning(tx, spelling, after, count)
                return sorted(found, key=lambda one: one.user_id)[:count]
            owner = threepids.owner(tx, address.medium, address.canonical)
            if owner is None or owner <= after:
                return []
            return [one for one in accounts.by_beginning(tx, owner, "", 1) if one.user_id == owner]

        found = await self._context.database.read_aside(step)
        return [Summary(one.user_id, one.created_at, one.deactivated_at, one.contacts, one.locked_at) for one in found]

    async def show(self, user_id: str) -> AccountView:
        """All that an operator needs to help a person. Raises NotFound."""

        def step(tx: Tx) -> AccountView:
            account = accounts.get(tx, user_id)
            if account is None:
                raise NotFound(_UNKNOWN)
            contacts = threepids.of_user(tx, user_id)
            return AccountView(
                user_id=user_id,
                created_at=account.created_at,
                deactivated_at=account.deactivated_at,
                locked_at=account.locked_at,
                is_admin=accounts.is_admin(tx, user_id),
                has_password=account.password_hash is not None,
                contacts=[self._contact(tx, contact) for contact in contacts],
                devices=[
                    DeviceView(*(getattr(one, name) for name in DeviceView.__struct_fields__))
                    for one in devices.of_user(tx, user_id)
                ],
                sessions=[
                    SessionView(one.session_id, one.created_at, one.seen_at, one.seen_from, one.user_agent)
                    for one in web_sessions.of_user(tx, user_id)
                    if self._sessions.is_open(one)
                ],
                used_up_limits=counted.used_up(tx, self._context, limits_of(tx, self._context, user_id, contacts)),
            )

        return await self._context.database.read_aside(step)

    async def remains(self, user_id: str) -> list[Remains]:
        """The tables that still name the account, such as one that was erased. Raises NotFound."""

        def step(tx: Tx) -> list[Remains]:
            if accounts.get(tx, user_id) is None:
                raise NotFound(_UNKNOWN)
            return remains.of_account(tx, user_id)

        return await self._context.database.read_aside(step)

    async def messages(self, user_id: str, *, count: int = MOST_LISTED) -> list[MessageView]:
        """The newest messages to the account's contacts, and why they did not arrive."""

        def step(tx: Tx) -> list[Listed]:
            contacts = threepids.of_user(tx, user_id)
            return outbox.to_recipients(tx, {contact.address for contact in contacts}, count=count)

        return [message_view(job) for job in await self._context.database.read_aside(step)]

    def _contact(self, tx: Tx, contact: Threepid) -> ContactView:
        found = suppressions.find(tx, self._context, contact.address) if contact.medium == Email.medium else None
        since, status = (None, None) if found is None else (found.first_at, found.status)
        return ContactView(contact.medium, contact.address, contact.validated_at, contact.added_at, since, status)


def message_view(job: Listed) -> MessageView:
    """A message as operators see it."""
    return MessageView(
        id=job.id,
        channel=job.channel,
        message=job.template,
        recipient=mask(job.recipient) if job.channel in (Email.channel, Phone.channel) else job.recipient,
        state=state(job).value,
        attempts=job.attempts,
        created_at=job.created_at,
        due_at=job.due_at,
        sent_at=job.sent_at,
        failed_at=job.failed_at,
        last_error=job.last_error,
        returned_at=job.returned_at,
        returned_status=job.returned_status,
        request_id=job.request_id,
    )


def limits_of(tx: Tx, context: Context, user_id: str, contacts: list[Threepid]) -> list[counted.Counted]:
    """The limits that may keep the owner out: of the account, of its contacts, and of the networks that tried passwords.

    The networks are those of its devices and browsers, and those of the newest failures in its security log.
    """
    typed = [f"{contact.medium} {contact.canonical}" for contact in contacts]
    clients = {one.seen_from for one in devices.of_user(tx, user_id)}
    clients |= {one.seen_from for one in web_sessions.of_user(tx, user_id)}
    clients |= {
        network for entry in audit.of_user(tx, user_id, count=MOST_LISTED) if (network := _network(entry.origin))
    }
    found = counted.of_account(context, user_id)
    for contact in contacts:
        found += counted.of_address(context, contact.medium, contact.canonical)
    for client in sorted(filter(None, clients)):
        found += counted.of_guesses(context, user_id, typed, client)
    return found


def typed_address(text: str) -> Address | None:
    """The address that `text` is; None for a username or user ID. Raises InvalidParam for what only looks like an address."""
    if "@" in text[1:] and not text.startswith("@"):
        try:
            return parse_address(Email.medium, text)
        except InvalidAddress:
            raise InvalidParam(Text("This is not a valid email address.")) from None
    if text.startswith("+"):
        try:
            return parse_phone(text)
        except InvalidAddress:
            raise InvalidParam(Text("This is not a valid phone number.")) from None
    return None


def _network(origin: str) -> str:
    network = origins.from_text(origin).network
    try:
        return counted.client_of(network) if network else ""
    except ValueError:
        return ""
