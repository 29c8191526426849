"""The messages that people get: one frozen Struct each; its tag is the name of its template folder.

`enqueue` puts a message into the outbox in the same transaction as its reason, so that neither exists without the other.
"""

from typing import ClassVar, Final, Literal

from msgspec import Struct

from threepid.domain.context import Context
from threepid.domain.posting import Urgency, post
from threepid.storage.database import Tx

Channel = Literal["email", "sms"]


class Message(Struct, frozen=True, kw_only=True):
    """What every message knows: the name of the server as people see it."""

    template: ClassVar[str]
    urgency: ClassVar[Urgency] = Urgency.NOTICE
    brand: str
    """The name that people see, e.g. `example.org`."""

    def __repr__(self) -> str:
        """Without the contents: a link or a code must not get into a log."""
        return f"{type(self).__name__}()"


class ConfirmAddress(Message, frozen=True, kw_only=True):
    """Somebody wants to prove that this address is theirs: a link to a page with a button, and a code to type in."""

    template = "confirm_address"
    urgency = Urgency.CODE
    address: str
    link: str
    code: str
    code_minutes: int
    """How long the code lives, in minutes."""
    link_minutes: int
    """How long the link lives, in minutes."""
    host: str = ""
    """The server's host name, by which a phone knows where the code of a text belongs."""


class RegisterAddress(ConfirmAddress, frozen=True, kw_only=True):
    """Like ConfirmAddress, for a new account."""

    template = "register_address"


class ResetPassword(ConfirmAddress, frozen=True, kw_only=True):
    """Somebody wants to set a new password for the account that has this address."""

    template = "reset_password"
    user_id: str


class AddressInUse(Message, frozen=True, kw_only=True):
    """Somebody wanted a new account with this address, which an account has already."""

    template = "address_in_use"
    urgency = Urgency.CODE  # it comes in place of one
    address: str
    user_id: str


class AddressUnknown(Message, frozen=True, kw_only=True):
    """Somebody wanted to reset a password by this address, which no account has."""

    template = "address_unknown"
    urgency = Urgency.CODE  # likewise
    address: str


class ContactAdded(Message, frozen=True, kw_only=True):
    """A contact was added to this account."""

    template = "contact_added"
    user_id: str
    medium: str
    contact: str
    """The contact that it is about, as `addresses.mask` shows it.

    Who it belongs to knows it by that, and a notice may reach a mailbox or a phone that has changed hands.
    """


class ContactRemoved(Message, frozen=True, kw_only=True):
    """A contact of this account was removed."""

    template = "contact_removed"
    user_id: str
    medium: str
    contact: str
    """The contact that it is about, as `addresses.mask` shows it."""


class PasswordChanged(Message, frozen=True, kw_only=True):
    """The password of this account was changed."""

    template = "password_changed"
    user_id: str


class AccountDeactivated(Message, frozen=True, kw_only=True):
    """This account was closed for good."""

    template = "account_deactivated"
    user_id: str


class Invitation(Message, frozen=True, kw_only=True):
    """Somebody invites whoever has this address to a room. The names are those of strangers, made harmless."""

    template = "invitation"
    urgency = Urgency.INVITATION
    address: str
    id_server: str
    """Where the address is to be published."""
    sender: str
    """The sender's user ID, as `names.harmless_user_id` shows it."""
    sender_name: str
    """'' for none."""
    kind: str
    """`room` or `space`."""
    room_name: str
    """'' for none."""
    link: str
    """'' for none."""
    stop_link: str
    """Leads to a page that ends invitations to this address."""
    days: int
    """How long the invitation waits."""


_BRAND: Final = "example.org"
_USER: Final = "@alice:example.org"
_ADDRESS: Final = "alice@example.com"
_LINK: Final = "https://matrix.example.org/confirm/tZ3vQk8mW1xYc5nB7sLd9fGh2jKp4rTa"
_HOST: Final = "matrix.example.org"
EXAMPLES: Final[tuple[Message, ...]] = (
    ConfirmAddress(
        brand=_BRAND, address=_ADDRESS, link=_LINK, code="042917", code_minutes=10, link_minutes=60, host=_HOST
    ),
    RegisterAddress(
        brand=_BRAND, address=_ADDRESS, link=_LINK, code="042917", code_minutes=10, link_minutes=60, host=_HOST
    ),
    ResetPassword(
        brand=_BRAND,
        address=_ADDRESS,
        user_id=_USER,
        link=_LINK,
        code="042917",
        code_minutes=10,
        link_minutes=60,
        host=_HOST,
    ),
    AddressInUse(brand=_BRAND, address=_ADDRESS, user_id=_USER),
    AddressUnknown(brand=_BRAND, address=_ADDRESS),
    ContactAdded(brand=_BRAND, user_id=_USER, medium="email", contact="b***@example.net"),
    ContactRemoved(brand=_BRAND, user_id=_USER, medium="msisdn", contact="+4479***23"),
    PasswordChanged(brand=_BRAND, user_id=_USER),
    AccountDeactivated(brand=_BRAND, user_id=_USER),
    Invitation(
        brand=_BRAND,
        address=_ADDRESS,
        id_server=_HOST,
        sender="@bob:example.org",
        sender_name="Bob",
        kind="room",
        room_name="Garden",
        link="https://app.example.org/#/room/%21garden%3Aexample%2Eorg?email=alice",
        stop_link="https://matrix.example.org/invitations/stop/tZ3vQk8mW1xYc5nB7sLd9fGh2",
        days=90,
    ),
)
"""One of each message: templates are tried on them."""


def enqueue(
    tx: Tx,
    context: Context,
    message: Message,
    *,
    channel: Channel,
    to: str,
    language: str,
    now: int,
    expires_at: int,
    caller: str = "",
) -> str:
    """Put `message` to the address `to` into the outbox, to be dropped after `expires_at`; returns the row's id.

    `caller` is whoever causes it, by IP address or user ID: what one causes holds nobody else's messages up.
    """
    return post(
        tx,
        context,
        message,
        channel=channel,
        recipient=to,
        template=message.template,
        urgency=message.urgency,
        caller=caller,
        now=now,
        expires_at=expires_at,
        language=language,
    )
