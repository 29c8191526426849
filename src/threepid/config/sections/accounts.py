"""`[accounts]`: its settings, and the rules that reject unsafe values."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Meta

from threepid.config.problem import HOST, Problem, is_web_url
from threepid.config.section import Example, SecretFile, Section
from threepid.config.sections.delivery import Email, Sms
from threepid.config.sections.terms import TermsDocument
from threepid.config.suffixes import is_public_suffix

_SERVERS: Final = re.compile(rf"(?:\*\.)?{HOST}(?::(?:[0-9]{{1,5}}|\*))?")
_USERNAMES: Final = re.compile(r"[a-z0-9._=/+*?-]+")
Notice = Literal[
    "contact_added",
    "contact_removed",
    "password_changed",
    "deactivated",
    "suspicious",
    "notices_changed",
    "new_sign_in",
    "bound",
    "unbound",
]
"""What the contacts of an account can be notified of. `suspicious` is a spent refresh token that was used again."""


class Captcha(Section, frozen=True):
    """`[accounts.captcha]`: a captcha with a `siteverify` interface (reCAPTCHA, hCaptcha, Turnstile)."""

    site_key: Annotated[str, Example('"…"')]
    """Public site key, which the widget in the browser uses."""
    secret_file: Annotated[SecretFile, Example('"captcha.secret"')]
    """File with the secret key."""
    verify_url: str = "https://www.google.com/recaptcha/api/siteverify"
    """URL that verifies answers."""
    script_url: str = "https://www.google.com/recaptcha/api.js"
    """URL of the widget's script."""
    widget_class: str = "g-recaptcha"
    """CSS class of the element that the script turns into the widget."""
    frame_hosts: tuple[str, ...] = ("https://www.google.com", "https://www.gstatic.com")
    """Origins from which the widget loads frames and further scripts."""


class Accounts(Section, frozen=True):
    """`[accounts]`: the homeserver. Absent = off."""

    registration: Literal["open", "token", "closed"] = "closed"
    """Registration policy: anybody, only with a token from `threepid registration-token create`, or nobody."""
    required_contacts: tuple[Literal["email", "msisdn"], ...] = ()
    """Media for which a new account must prove an address; empty = none."""
    reserved_usernames: tuple[str, ...] = ()
    """Usernames, or patterns such as `_irc_*`, that nobody may register; empty = none."""
    terms: tuple[TermsDocument, ...] = ()
    """Documents that a new account must accept, each as
    `{ id = "privacy_policy", version = "1.0", languages = { en = { name, url } } }`; empty = none.
    Some apps, such as Cinny, show only a document with this `id`; if there is none, nobody can register with them."""
    captcha: Captcha | None = None
    """Captcha at registration. Absent = no captcha."""
    access_token_minutes: Annotated[int, Meta(ge=1, le=525_600)] = 60
    """Lifetime, in minutes, of an access token that has a refresh token; other access tokens do not expire."""
    refresh_token_days: Annotated[int, Meta(ge=1, le=3_650)] = 90
    """Lifetime of a refresh token, in days; each refresh starts it again."""
    login_token_seconds: Annotated[int, Meta(ge=10, le=3_600)] = 120
    """Lifetime, in seconds, of a token from `login/get_token`; the token works for one login."""
    notices: tuple[Notice, ...] = get_args(Notice)
    """Events of which the contacts of an account are notified; empty = none. The owner can switch the last three off."""
    login_with: tuple[Literal["user", "email", "msisdn"], ...] = ("user", "email", "msisdn")
    """Identifiers accepted at login: username (`user`), email address, phone number; empty = none."""
    recover_with: tuple[Literal["email", "msisdn"], ...] = ("email", "msisdn")
    """Contacts that can reset the password or deactivate the account without it (an SMS is weaker proof); empty = none."""
    deactivate_without_token: bool = False
    """Whether a contact in `recover_with` can deactivate the account without an access token; mails to it then say so."""
    trusted_identity_servers: tuple[str, ...] = ()
    """Identity servers whose validations `POST /account/3pid` accepts: names or patterns (`*.example.org`); empty = none."""
    identity_servers_allowed: tuple[str, ...] = ("*",)
    """Identity servers at which contacts may be bound: names or patterns; `*` = any, empty = none."""
    hide_existence: bool = True
    """Whether to hide from strangers that an address belongs to an account; its owner gets a message instead."""


def problems(accounts: Accounts, *, public: bool, email: Email | None, sms: Sms | None) -> Iterator[Problem]:
    """Yield the unsafe values in `[accounts]`; `public` is whether other machines can reach the server."""
    yield from _registration(accounts, public=public, email=email, sms=sms)
    yield from _patterns(accounts)
    yield from _terms(accounts)
    if accounts.captcha is not None:
        yield from _captcha(accounts.captcha)


def warnings(accounts: Accounts, *, public: bool, email: Email | None, sms: Sms | None) -> Iterator[Problem]:
    """Yield the values in `[accounts]` that are accepted with a warning."""
    usable = {"email": email is not None, "msisdn": sms is not None and bool(sms.countries)}
    if public and not any(usable[medium] for medium in accounts.recover_with):
        yield Problem(
            "[accounts] recover_with",
            "whoever forgets a password loses the account, because no message can be sent for a new one: "
            "add [email], or [sms] with countries, and list its medium here",
        )


def _registration(accounts: Accounts, *, public: bool, email: Email | None, sms: Sms | None) -> Iterator[Problem]:
    checked = accounts.required_contacts or accounts.captcha is not None
    if accounts.registration == "open" and not checked and public:
        yield Problem(
            "[accounts] registration",
            'anybody on the internet could create accounts without any check: set it to "closed" or "token", '
            'set required_contacts = ["email"], or add [accounts.captcha]',
        )
    if "email" in accounts.required_contacts and email is None:
        yield Problem("[accounts] required_contacts", "needs [email] to send verification mails")
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
            yield Problem(place, f"{pattern!r} would trust every server for every address")
        elif not _SERVERS.fullmatch(pattern):
            yield Problem(place, f"{pattern!r} is neither a name nor a pattern such as *.example.org or localhost:*")
        elif pattern.startswith("*.") and is_public_suffix(pattern.removeprefix("*.").partition(":")[0]):
            yield Problem(place, f"{pattern!r} would trust strangers: anybody can register a name there")
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
            yield Problem(place, "has no language: people could not read what they accept")
        for language, text in document.languages.items():
            if not is_web_url(text.url):
                yield Problem(f"{place}.languages.{language}", "has no https URL")


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
