"""`[accounts]`: its settings, and what cannot be safe about them."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from threepid.config.problem import HOST, Problem, is_web_url
from threepid.config.section import Example, SecretFile, Section
from threepid.config.sections.delivery import Email, Sms
from threepid.config.sections.terms import TermsDocument
from threepid.config.suffixes import is_public_suffix

_SERVERS: Final = re.compile(rf"(?:\*\.)?{HOST}(?::(?:[0-9]{{1,5}}|\*))?")
_USERNAMES: Final = re.compile(r"[a-z0-9._=/+*?-]+")


class Captcha(Section, frozen=True):
    """`[accounts.captcha]`: any captcha with a `siteverify` interface (reCAPTCHA, hCaptcha, Turnstile)."""

    site_key: Annotated[str, Example('"…"')]
    """The public key that the widget in the browser gets."""
    secret_file: Annotated[SecretFile, Example('"captcha.secret"')]
    """A file that holds the secret key."""
    verify_url: str = "https://www.google.com/recaptcha/api/siteverify"
    """Where answers are checked."""
    script_url: str = "https://www.google.com/recaptcha/api.js"
    """The script of the widget."""
    widget_class: str = "g-recaptcha"
    """The class of the element that the script turns into the widget."""
    frame_hosts: tuple[str, ...] = ("https://www.google.com", "https://www.gstatic.com")
    """Origins that the widget loads frames and further scripts from."""


class Accounts(Section, frozen=True):
    """`[accounts]`: the homeserver's side. Absent = off."""

    registration: Literal["open", "token", "closed"] = "closed"
    """Who may register: anybody, whoever has a token of `threepid registration-token create`, or nobody."""
    required_contacts: tuple[Literal["email", "msisdn"], ...] = ()
    """Media of which a new account must prove an address."""
    reserved_usernames: tuple[str, ...] = ()
    """Usernames that nobody may register, also as patterns such as `_irc_*`."""
    terms: tuple[TermsDocument, ...] = ()
    """Documents that a new account must accept: `{ id = "privacy", version = "1.0", languages = { en = { name, url } } }`."""
    captcha: Captcha | None = None
    """Absent: no captcha at registration."""
    access_token_minutes: Annotated[int, Meta(ge=1, le=525_600)] = 60
    """How long an access token lives that can be refreshed; others do not expire."""
    refresh_token_days: Annotated[int, Meta(ge=1, le=3_650)] = 90
    """How long a refresh token lives; each refresh begins anew."""
    login_token_seconds: Annotated[int, Meta(ge=10, le=3_600)] = 120
    """How long a token of `login/get_token` lives; it is good for one login."""
    notices: tuple[Literal["contact_added", "contact_removed", "password_changed", "deactivated"], ...] = (
        "contact_added",
        "contact_removed",
        "password_changed",
        "deactivated",
    )
    """What the other contacts of an account are told of."""
    login_with: tuple[Literal["user", "email", "msisdn"], ...] = ("user", "email", "msisdn")
    """What identifies an account at login."""
    recover_with: tuple[Literal["email", "msisdn"], ...] = ("email", "msisdn")
    """Contacts that can set a new password or end the account without the old password; a phone number is the weaker one."""
    deactivate_without_token: bool = False
    """Whether a contact in `recover_with` can close the account without an access token; its mails then say so."""
    trusted_identity_servers: tuple[str, ...] = ()
    """Identity servers whose word is taken by `POST /account/3pid`: names or patterns such as `*.example.org`."""
    identity_servers_allowed: tuple[str, ...] = ("*",)
    """Identity servers that contacts may be published at: names or patterns."""
    hide_existence: bool = True
    """Never tell a stranger whether an address is known; tell its mailbox instead."""


def problems(accounts: Accounts, *, public: bool, email: Email | None, sms: Sms | None) -> Iterator[Problem]:
    """What cannot be safe in `[accounts]`; `public` is whether programs on other machines reach the server."""
    yield from _registration(accounts, public=public, email=email, sms=sms)
    yield from _patterns(accounts)
    yield from _terms(accounts)
    if accounts.captcha is not None:
        yield from _captcha(accounts.captcha)


def _registration(accounts: Accounts, *, public: bool, email: Email | None, sms: Sms | None) -> Iterator[Problem]:
    checked = accounts.required_contacts or accounts.captcha is not None
    if accounts.registration == "open" and not checked and public:
        yield Problem(
            "[accounts] registration",
            'anybody on the internet could open accounts without any check: set it to "closed" or "token", '
            'set required_contacts = ["email"], or add [accounts.captcha]',
        )
    if "email" in accounts.required_contacts and email is None:
        yield Problem("[accounts] required_contacts", "needs [email] to send confirmations")
    if "msisdn" in accounts.required_contacts and (sms is None or not sms.countries):
        yield Problem("[accounts] required_contacts", "needs [sms] with countries to send codes to")


def _patterns(accounts: Accounts) -> Iterator[Problem]:
    for pattern in accounts.reserved_usernames:
        if not _USERNAMES.fullmatch(pattern):
            yield Problem(
                "[accounts] reserved_usernames", f"{pattern!r} is not a username in lower case or a pattern like _irc_*"
            )
    place = "[accounts] trusted_identity_servers"
    for pattern in accounts.trusted_identity_servers:
        if not re.search("[0-9A-Za-z]", pattern.partition(":")[0]):
            yield Problem(place, f"{pattern!r} would believe every server about every address")
        elif not _SERVERS.fullmatch(pattern):
            yield Problem(place, f"{pattern!r} is neither a name nor a pattern such as *.example.org or localhost:*")
        elif pattern.startswith("*.") and is_public_suffix(pattern.removeprefix("*.").partition(":")[0]):
            yield Problem(place, f"{pattern!r} would believe strangers: anybody can have a name there")
    for pattern in accounts.identity_servers_allowed:
        if pattern != "*" and not _SERVERS.fullmatch(pattern):
            yield Problem(
                "[accounts] identity_servers_allowed",
                f"{pattern!r} is neither a name nor a pattern such as *.example.org or localhost:*",
            )


def _terms(accounts: Accounts) -> Iterator[Problem]:
    seen = set()
    for index, document in enumerate(accounts.terms):
        place = f"[accounts] terms[{index}]"
        if document.id in seen:
            yield Problem(place, f"there are two documents {document.id}")
        seen.add(document.id)
        if not document.languages:
            yield Problem(place, "is in no language: nobody could read what they accept")
        for language, text in document.languages.items():
            if not is_web_url(text.url):
                yield Problem(f"{place}.languages.{language}", "is not at an https URL")


def _captcha(captcha: Captcha) -> Iterator[Problem]:
    if not captcha.secret_file:
        yield Problem("[accounts] captcha.secret_file", "names no file")
    for key in ("verify_url", "script_url"):
        if not is_web_url(getattr(captcha, key)):
            yield Problem(f"[accounts] captcha.{key}", "is not an https URL")
    for host in captcha.frame_hosts:
        # Each becomes a source of a Content-Security-Policy, which nothing else may stand in.
        if not is_web_url(host.replace("://*.", "://", 1)) or urlsplit(host).path or {*host} & {"?", "#"}:
            yield Problem(
                "[accounts] captcha.frame_hosts", f"{host!r} is not an origin such as https://www.example.org"
            )
