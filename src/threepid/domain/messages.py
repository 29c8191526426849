"""The messages to people: one frozen Struct for each, with the name of its template folder."""

from typing import ClassVar, Final, Literal

from msgspec import Struct

from threepid.domain.names import NOBODYS_WORD, OURS
from threepid.domain.origin import Origin
from threepid.domain.outbox import Job, Recipient, Urgency

Channel = Literal["email", "sms"]


class Message(Struct, frozen=True, kw_only=True):
    """The base of all messages."""

    template: ClassVar[str]
    urgency: ClassVar[Urgency] = Urgency.NOTICE
    brand: str
    """The server's name as people see it, e.g. `example.org`."""

    def __repr__(self) -> str:
        """Leave out the contents, because a link or a code must not get into a log."""
        return f"{type(self).__name__}()"


class Asked(Message, frozen=True, kw_only=True):
    """A message that a request caused. It shows the origin of the request."""

    origin: str = ""
    """The `Origin` of the request, as `Origin.in_message` gives it."""


class ConfirmAddress(Asked, frozen=True, kw_only=True):
    """A validation message for an address, with a link to a page with a button, and a code to type in."""

    template = "confirm_address"
    urgency = Urgency.CODE
    address: str
    link: str
    code: str
    code_minutes: int
    """Minutes until the code expires."""
    link_minutes: int
    """Minutes until the link expires."""
    host: str = ""
    """The server's host name, by which a phone knows the website that an SMS code is for."""
    homeserver: str = ""
    """The homeserver of the account, as people know it; '' if it may be any homeserver."""


class RegisterAddress(ConfirmAddress, frozen=True, kw_only=True):
    """Like ConfirmAddress, for a new account."""

    template = "register_address"


class ConfirmForHomeserver(ConfirmAddress, frozen=True, kw_only=True):
    """Like ConfirmAddress, at the request of a homeserver that does not give its purpose. It may be a new password."""

    template = "confirm_for_homeserver"


class ResetPassword(ConfirmAddress, frozen=True, kw_only=True):
    """A validation message for a new password of the account that has this address."""

    template = "reset_password"
    user_id: str
    can_close: int = 0
    """1 if the same validation session can close the account."""


class ChoosePassword(ConfirmAddress, frozen=True, kw_only=True):
    """A link and a code to choose a new password on our own pages, for the account that has this address."""

    template = "choose_password"
    user_id: str


class ConfirmOwner(Asked, frozen=True, kw_only=True):
    """A code by which the owner of an account confirms a change in a browser that is signed in. It has no link."""

    template = "confirm_owner"
    urgency = Urgency.CODE
    user_id: str
    code: str
    code_minutes: int
    """Minutes until the code expires."""
    host: str = ""
    """The server's host name, by which a phone knows the website that an SMS code is for."""


class AddressInUse(Message, frozen=True, kw_only=True):
    """Notice that a registration with this address was attempted, although an account has it already."""

    template = "address_in_use"
    urgency = Urgency.CODE  # sent instead of a code
    address: str
    user_id: str


class ContactInUse(Message, frozen=True, kw_only=True):
    """Notice that adding this address to an account was attempted, although another account has it already."""

    template = "contact_in_use"
    urgency = Urgency.CODE  # sent instead of a code
    address: str
    user_id: str
    """The account that has the address."""


class AddressUnknown(Asked, frozen=True, kw_only=True):
    """Notice that a password reset with this address was requested, although no account has it."""

    template = "address_unknown"
    urgency = Urgency.CODE  # sent instead of a code
    address: str


class ContactAdded(Message, frozen=True, kw_only=True):
    """Notice that a contact was added to this account."""

    template = "contact_added"
    user_id: str
    medium: str
    contact: str
    """The added contact, as `addresses.mask` shows it.

    That is enough for its owner to recognise it, and the notice may reach a mailbox or phone that has a new owner.
    """
    recovers: int = 1
    """1 if the contact can set a new password for the account."""


class ContactRemoved(Message, frozen=True, kw_only=True):
    """Notice that a contact of this account was removed."""

    template = "contact_removed"
    user_id: str
    medium: str
    contact: str
    """The removed contact, as `addresses.mask` shows it."""


class PasswordChanged(Message, frozen=True, kw_only=True):
    """Notice that the password of this account was changed."""

    template = "password_changed"
    user_id: str


class AccountDeactivated(Message, frozen=True, kw_only=True):
    """Notice that this account was deactivated."""

    template = "account_deactivated"
    user_id: str


class Suspicious(Asked, frozen=True, kw_only=True):
    """Notice that an app was signed out, because its spent refresh token was used again: somebody may have copied it."""

    template = "suspicious"
    user_id: str


class NoticesChanged(Message, frozen=True, kw_only=True):
    """Notice that optional notices of this account were switched off."""

    template = "notices_changed"
    user_id: str
    switched_off: str
    """The names of the notices that were switched off now, separated by blanks."""


class NewSignIn(Asked, frozen=True, kw_only=True):
    """Notice that a device or a browser signed in to this account."""

    template = "new_sign_in"
    user_id: str


class Bound(Message, frozen=True, kw_only=True):
    """Notice that people can find this account by an address."""

    template = "bound"
    user_id: str
    contact: str
    """The address, as `addresses.mask` shows it."""


class Unbound(Message, frozen=True, kw_only=True):
    """Notice that people cannot find this account by an address any more."""

    template = "unbound"
    user_id: str
    contact: str
    """The address, as `addresses.mask` shows it."""


class Invitation(Message, frozen=True, kw_only=True):
    """An invitation of the address's owner to a room. Names that strangers chose are made harmless."""

    template = "invitation"
    urgency = Urgency.INVITATION
    address: str
    id_server: str
    """The identity server at which to bind the address."""
    sender: str
    """The sender's user ID, as `names.shown_user_id` gives it: templates pass it through `unlinked`."""
    sender_trust: int = NOBODYS_WORD
    """The trust in the sender's user ID, for `names.unlinked`."""
    sender_name: str
    """'' for none."""
    kind: str
    """`room` or `space`."""
    room_name: str
    """'' for none."""
    link: str
    """'' for none."""
    stop_link: str
    """The link to a page that stops invitations to this address."""
    days: int
    """Days until the invitation expires."""


_BRAND: Final = "example.org"
_USER: Final = "@alice:example.org"
_ADDRESS: Final = "alice@example.com"
_LINK: Final = "https://matrix.example.org/confirm/tZ3vQk8mW1xYc5nB7sLd9fGh2jKp4rTa"
_HOST: Final = "matrix.example.org"
_ORIGIN: Final = Origin(1_800_000_000_000, "203.0.113.9", "Firefox", "Windows").in_message()
EXAMPLES: Final[tuple[Message, ...]] = (
    ConfirmAddress(
        brand=_BRAND,
        address=_ADDRESS,
        link=_LINK,
        code="042917",
        code_minutes=10,
        link_minutes=60,
        host=_HOST,
        origin=_ORIGIN,
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
        origin=_ORIGIN,
    ),
    ConfirmForHomeserver(
        brand=_BRAND,
        address=_ADDRESS,
        link=_LINK,
        code="042917",
        code_minutes=10,
        link_minutes=60,
        host=_HOST,
        origin=_ORIGIN,
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
        origin=_ORIGIN,
    ),
    ChoosePassword(
        brand=_BRAND,
        address=_ADDRESS,
        user_id=_USER,
        link=_LINK.replace("confirm", "reset"),
        code="042917",
        code_minutes=10,
        link_minutes=60,
        host=_HOST,
        origin=_ORIGIN,
    ),
    ConfirmOwner(brand=_BRAND, user_id=_USER, code="042917", code_minutes=10, host=_HOST, origin=_ORIGIN),
    AddressInUse(brand=_BRAND, address=_ADDRESS, user_id=_USER),
    ContactInUse(brand=_BRAND, address=_ADDRESS, user_id=_USER),
    AddressUnknown(brand=_BRAND, address=_ADDRESS, origin=_ORIGIN),
    ContactAdded(brand=_BRAND, user_id=_USER, medium="email", contact="b***@example.net"),
    ContactRemoved(brand=_BRAND, user_id=_USER, medium="msisdn", contact="+4479***23"),
    PasswordChanged(brand=_BRAND, user_id=_USER),
    AccountDeactivated(brand=_BRAND, user_id=_USER),
    Suspicious(brand=_BRAND, user_id=_USER, origin=_ORIGIN),
    NoticesChanged(brand=_BRAND, user_id=_USER, switched_off="new_sign_in bound unbound"),
    NewSignIn(brand=_BRAND, user_id=_USER, origin=_ORIGIN),
    Bound(brand=_BRAND, user_id=_USER, contact="a***@example.com"),
    Unbound(brand=_BRAND, user_id=_USER, contact="+4479***23"),
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
"""An example of each message, for checking templates."""


def to_person(message: Message, recipient: Recipient, *, channel: Channel, expires_at: int, caller: str = "") -> Job:
    """The job that sends `message` to a person, and is dropped after `expires_at`.

    `caller` is the IP address or user ID that causes it: a caller's many messages delay only the caller's own.
    """
    return Job(
        channel=channel,
        name=message.template,
        recipient=recipient,
        params=message,
        urgency=message.urgency,
        caller=caller,
        expires_at=expires_at,
    )
