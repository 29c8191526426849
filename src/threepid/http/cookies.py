"""Cookies of our pages. https://www.rfc-editor.org/rfc/rfc6265."""

from typing import Final

from msgspec import Struct

_PREFIX: Final = "__Host-"
"""Browsers accept a cookie of this name only from the host itself, over HTTPS, for the whole host."""


class Cookie(Struct, frozen=True):
    """A cookie that only the server reads. `seconds` is its life: 0 removes it, None ends it with the browser."""

    name: str
    value: str
    seconds: int | None = None

    def header(self, *, secure: bool) -> tuple[str, str]:
        """The header field that sets the cookie. Without `secure`, for plain HTTP on loopback, its name has no prefix."""
        life = "" if self.seconds is None else f"; Max-Age={self.seconds}"
        name, only = full_name(self.name, secure=secure), "; Secure" if secure else ""
        return "Set-Cookie", f"{name}={self.value}; Path=/{life}; HttpOnly; SameSite=Lax{only}"


def full_name(name: str, *, secure: bool) -> str:
    """The name by which browsers know the cookie `name`."""
    return f"{_PREFIX}{name}" if secure else name


def read(header: str | None, name: str, *, secure: bool) -> str:
    """The value of the cookie `name` in a Cookie header; '' if it is missing, or if it is there with different values.

    Several cookies of one name come from other hosts of the same site or from plain HTTP: none of them is trusted.
    """
    wanted = full_name(name, secure=secure)
    pairs = (pair.strip().partition("=") for pair in (header or "").replace(",", ";").split(";"))
    values = {value.strip() for key, _, value in pairs if key == wanted}
    return values.pop() if len(values) == 1 else ""
