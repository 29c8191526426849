"""What people may want to do on the account pages. https://spec.matrix.org/latest/client-server-api/#account-management-url-actions."""

from enum import StrEnum


class Action(StrEnum):
    """An action of the account management URL; the last three are of the drafts."""

    PROFILE = "org.matrix.profile"
    DEVICES_LIST = "org.matrix.devices_list"
    DEVICE_VIEW = "org.matrix.device_view"
    DEVICE_DELETE = "org.matrix.device_delete"
    ACCOUNT_DEACTIVATE = "org.matrix.account_deactivate"
    SESSIONS_LIST = "org.matrix.sessions_list"
    SESSION_VIEW = "org.matrix.session_view"
    SESSION_END = "org.matrix.session_end"
