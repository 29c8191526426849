"""The messages that people get: one frozen Struct each; its tag is the name of its template folder.

`enqueue` puts a message into the outbox in the same transaction as its reason, so that neither exists without the other.
"""

from typing import Any, ClassVar, Final, Literal

from msgspec import Struct

from threepid.domain.context import Context
from threepid.domain.names import NOBODYS_WORD, OURS
from threepid.domain.posting import Urgency, post
from threepid.storage.engine.database import Tx

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


class Asked(Message, frozen=True, kw_only=True):
    """A message that somebody asked for: it says when, from where and by what, as `Origin.in_message` has it."""

    asked_at: str = ""
    """The time, in UTC; '' if it is not known."""
    asked_from: str = ""
    """The network; '' if it is not known."""
    asked_by: str = ""
    """The client: names from a fixed list; and the homeserver whose user asked, where it is not ours."""


class ConfirmAddress(Asked, frozen=True, kw_only=True):
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
    homeserver: str = ""
    """Where the account is, as people know it; '' where it may be anywhere."""


class RegisterAddress(ConfirmAddress, frozen=True, kw_only=True):
    """Like ConfirmAddress, for a new account."""

    template = "register_address"


class ConfirmForHomeserver(ConfirmAddress, frozen=True, kw_only=True):
    """Like ConfirmAddress, where a homeserver asks without saying what for: it may be a new password."""

    template = "confirm_for_homeserver"


class ResetPassword(ConfirmAddress, frozen=True, kw_only=True):
    """Somebody wants to set a new password for the account that has this address."""

    template = "reset_password"
    user_id: str
    can_close: int = 0
    """1 if the same proof can close the account."""


class AddressInUse(Message, frozen=True, kw_only=True):
    """Somebody wanted a new account with this address, which an account has already."""

    template = "address_in_use"
    urgency = Urgency.CODE  # it comes in place of one
    address: str
    user_id: str


class ContactInUse(Message, frozen=True, kw_only=True):
    """Somebody tried to add this address to another account than the one that has it."""

    template = "contact_in_use"
    urgency = Urgency.CODE  # likewise
    address: str
    user_id: str
    """The account that has it."""


class AddressUnknown(Asked, frozen=True, kw_only=True):
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
    """The sender's user ID, as `names.shown_user_id` gives it: templates pass it through `unlinked`."""
    sender_trust: int = NOBODYS_WORD
    """Who vouches for it: `unlinked` wants to know."""
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
_ASKED: Final[dict[str, Any]] = {
    "asked_at": "2027-01-15 08:00 UTC",
    "asked_from": "203.0.113.9",
    "asked_by": "Firefox on Windows",
}
EXAMPLES: Final[tuple[Message, ...]] = (
    ConfirmAddress(
        brand=_BRAND,
        address=_ADDRESS,
        link=_LINK,
        code="042917",
        code_minutes=10,
        link_minutes=60,
        host=_HOST,
        **_ASKED,
        homeserver=_BRAND,
    ),
    RegisterAddress(
        brand=_BRAND,
        address=_ADDRESS,
        link=_LINK,
        code="042917",
        code_minutes=10,
        link_minutes=60,
        host=_HOST,
        **_ASKED,
    ),
    ConfirmForHomeserver(
        brand=_BRAND,
        address=_ADDRESS,
        link=_LINK,
        code="042917",
        code_minutes=10,
        link_minutes=60,
        host=_HOST,
        **_ASKED,
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
        **_ASKED,
    ),
    AddressInUse(brand=_BRAND, address=_ADDRESS, user_id=_USER),
    ContactInUse(brand=_BRAND, address=_ADDRESS, user_id=_USER),
    AddressUnknown(brand=_BRAND, address=_ADDRESS, **_ASKED),
    ContactAdded(brand=_BRAND, user_id=_USER, medium="email", contact="b***@example.net"),
    ContactRemoved(brand=_BRAND, user_id=_USER, medium="msisdn", contact="+4479***23"),
    PasswordChanged(brand=_BRAND, user_id=_USER),
    AccountDeactivated(brand=_BRAND, user_id=_USER),
    Invitation(
        brand=_BRAND,
        address=_ADDRESS,
        id_server=_HOST,
        sender="@bob:example.org",
        sender_trust=OURS,
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
