"""How long validation sessions, codes and links live, in milliseconds, and how many wrong codes a session stands."""

from typing import Final

from threepid.clock import DAY, HOUR, MINUTE, SKEW
from threepid.domain.validation.purposes import RESETS
from threepid.storage.validations import Session

CODE_LIFE: Final = 10 * MINUTE
LINK_LIFE: Final = HOUR
SESSION_LIFE: Final = DAY
VALIDATED_RESET_LIFE: Final = 15 * MINUTE
KEPT_AFTER_EXPIRY: Final = DAY
ATTEMPTS: Final = 5
"""Number of wrong codes that closes a session."""
ADDRESS_ATTEMPTS: Final = 100
"""Number of wrong codes a day, over all sessions of an address, after which only links are accepted: they cannot be guessed."""


def lives(expires_at: int, life: int, now: int) -> bool:
    """Is a token valid? A token that expires later than any new one is not: a clock that was ahead made it."""
    return now < expires_at <= now + life + SKEW


def life_after(session: Session, now: int) -> int:
    """The time until which a session that is validated now can be used, in milliseconds since the Unix epoch."""
    if session.purpose in RESETS:
        return min(session.expires_at, now + VALIDATED_RESET_LIFE)
    return session.expires_at
