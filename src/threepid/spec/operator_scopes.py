"""Scopes of the admin API: what an operator token permits."""

from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """One thing that an operator token permits. A scope to write does not include the scope to read."""

    ACCOUNTS_READ = "accounts:read"
    """Find accounts, and see their contacts, devices, browser sessions and limits."""
    ACCOUNTS_WRITE = "accounts:write"
    """Change passwords, contacts, devices, browser sessions and limits of accounts."""
    ADMINS_WRITE = "admins:write"
    """Also change accounts that may administer the homeserver."""
    MESSAGES_READ = "messages:read"
    """See messages, suppressed addresses and invitations."""
    MESSAGES_WRITE = "messages:write"
    """Send messages again, and send mails to suppressed addresses again."""
    AUDIT_READ = "audit:read"
    """Read the audit log."""


OF_ADMINISTRATORS: Final = tuple(scope for scope in Scope if scope is not Scope.ADMINS_WRITE)
"""The scopes of an account that may administer the server: a stolen one must not change the others."""
