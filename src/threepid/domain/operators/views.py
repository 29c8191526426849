"""What operators see of an account. Times are in milliseconds since the Unix epoch."""

from msgspec import Struct

from threepid.domain.counted import UsedUp


class ContactView(Struct, frozen=True):
    """A contact, and since when mails to it are not sent because mails came back."""

    medium: str
    address: str
    validated_at: int
    added_at: int
    suppressed_since: int | None
    suppressed_status: str | None


class DeviceView(Struct, frozen=True):
    """A device that is logged in."""

    device_id: str
    display_name: str | None
    created_at: int
    seen_at: int | None
    seen_from: str | None
    user_agent: str | None


class SessionView(Struct, frozen=True):
    """A browser that is signed in."""

    session_id: str
    created_at: int
    seen_at: int
    seen_from: str
    user_agent: str


class MessageView(Struct, frozen=True):
    """A message to an address, and why it did not arrive. Its contents are encrypted and not shown."""

    id: str
    channel: str
    message: str
    recipient: str
    """Shortened."""
    state: str
    attempts: int
    created_at: int
    due_at: int
    sent_at: int | None
    failed_at: int | None
    last_error: str | None
    returned_at: int | None
    """When a report came that the mail was returned, or that its recipient complained."""
    returned_status: str | None
    request_id: str
    """The request that caused it; log lines have the same ID. Empty for none."""


class AccountView(Struct, frozen=True):
    """An account."""

    user_id: str
    created_at: int
    deactivated_at: int | None
    locked_at: int | None
    is_admin: bool
    has_password: bool
    contacts: list[ContactView]
    devices: list[DeviceView]
    sessions: list[SessionView]
    used_up_limits: list[UsedUp]


class Summary(Struct, frozen=True):
    """An account in a list."""

    user_id: str
    created_at: int
    deactivated_at: int | None
    contacts: int
    locked_at: int | None = None


class InviteView(Struct, frozen=True):
    """An invitation to an address."""

    id: str
    medium: str
    address: str
    sender: str
    room_id: str
    created_at: int
    expires_at: int
    state: str


class SuppressionView(Struct, frozen=True):
    """An email address that gets no mails, because they came back or their owner complained."""

    address: str
    kind: str
    """`bounce` or `complaint`."""
    status: str
    message_id: str
    first_at: int
    latest_at: int


class RemainView(Struct, frozen=True):
    """The number of rows of a table that name an account."""

    table: str
    rows: int
