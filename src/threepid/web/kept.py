"""What a person typed into a form that came too long after the last proof of ownership: it comes back after the proof.

It waits in a cookie, for the form and the session that it was typed in. It is only shown in the form again: a person sends it.
"""

import base64
import hmac
from typing import Final, TypeVar

import msgspec

from threepid.clock import SECOND
from threepid.domain.authentication.grants import CONFIRMED
from threepid.domain.secrets.vault import Vault
from threepid.http.cookies import Cookie
from threepid.web.page import Form

F = TypeVar("F", bound=Form)
KEPT: Final = "threepid-kept"
"""The cookie with what was typed."""
_LONGEST: Final = 2000
"""Maximum number of characters of the cookie's value: browsers keep 4096 with its attributes."""


def keep(vault: Vault, session_id: str, form: Form) -> tuple[Cookie, ...]:
    """The cookie for the fields of `form` that may be kept. Empty if there is nothing to keep, or too much."""
    typed = {name: getattr(form, name) for name in form.kept}
    if not any(typed.values()):
        return ()
    text = base64.urlsafe_b64encode(msgspec.json.encode(typed)).decode("ascii")
    value = f"{_mac(vault, session_id, type(form), text)}.{text}"
    return (Cookie(KEPT, value, CONFIRMED // SECOND),) if len(value) <= _LONGEST else ()


def kept(vault: Vault, session_id: str, value: str, wanted: type[F]) -> F | None:
    """The form of the cookie's `value`, if that is a `wanted` one of this session."""
    mac, _, text = value.partition(".")
    if not hmac.compare_digest(mac.encode(), _mac(vault, session_id, wanted, text).encode()):
        return None
    return wanted.read(msgspec.json.decode(base64.urlsafe_b64decode(text), type=dict[str, str]))


def _mac(vault: Vault, session_id: str, form_type: type[Form], text: str) -> str:
    return vault.form_token(f"kept {session_id} {form_type.__name__} {text}")
