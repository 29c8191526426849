"""How SMS are sent: the transports of `[sms] via`, and the request to a gateway, written with placeholders."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
import phonenumbers
from msgspec import Meta, field

from threepid.config.problem import Problem, is_web_url
from threepid.config.section import SecretFile, Section
from threepid.config.sections.apprise import AppriseTransport, name_of, why_no_service

PLACEHOLDER: Final = re.compile(r"\{(to|digits|text|secret)\}")
_ANY_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][0-9A-Za-z_]*)\}")
_KNOWN: Final = frozenset({"to", "digits", "text", "secret"})
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
"""A JSON Pointer to a member: https://www.rfc-editor.org/rfc/rfc6901#section-3."""
_Expected = str | int | bool
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[ -~]*")


class ConsoleTransport(Section, frozen=True, tag_field="transport", tag="console"):
    """Writes each SMS to standard error; with the transport `mailbox`, `/mailbox/` shows it too. For development only."""


class HttpTransport(Section, frozen=True, tag_field="transport", tag="http"):
    """An SMS gateway over HTTPS. `{to}`, `{digits}`, `{text}` and `{secret}` are filled in and escaped for their place."""

    url: str
    """URL of the request."""
    method: Literal["GET", "POST", "PUT"] = "POST"
    """HTTP method of the request."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the request; empty = none of its own."""
    body: str = ""
    """Body of the request, e.g. `{"to": "{to}", "text": "{text}"}`; empty = none. `{digits}` is the number without its `+`."""
    secret_file: SecretFile = ""
    """File with the value of `{secret}`; empty = no secret."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 15.0
    """Maximum time for one delivery, in seconds."""
    countries: tuple[str, ...] = ()
    """ISO codes of the countries whose numbers this gateway serves, before gateways without countries; empty = all."""
    accepted_status: tuple[Annotated[int, Meta(ge=200, le=299)], ...] = ()
    """Statuses of answers that accept the SMS; empty = 200 to 299."""
    accepted_json: dict[str, _Expected | tuple[_Expected, ...]] = field(default_factory=dict)
    """Values that an accepting answer has, by JSON Pointer, e.g. `{ "/status" = ["queued", "sent"] }`; empty = any."""
    accepted_text: str = ""
    """Text that an accepting answer contains; empty = any."""


SmsTransport = ConsoleTransport | HttpTransport | AppriseTransport


def route(via: Sequence[SmsTransport], country: str) -> list[int]:
    """The positions in `via` of the gateways for numbers of a country: those that name it, then those for all countries."""
    named = [index for index, one in enumerate(via) if country in countries_of(one)]
    return named + [index for index, one in enumerate(via) if not countries_of(one)]


def countries_of(via: SmsTransport) -> tuple[str, ...]:
    """The countries whose numbers this gateway serves; empty = all."""
    return () if isinstance(via, ConsoleTransport) else via.countries


def keys_of_pointer(pointer: str) -> list[str]:
    """The keys of a JSON Pointer. https://www.rfc-editor.org/rfc/rfc6901#section-4."""
    return [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]


def gateway_problems(place: str, via: SmsTransport, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values of one gateway; `public` is whether other machines can reach the server."""
    if isinstance(via, ConsoleTransport):
        if public:
            yield Problem(place, "writes codes to standard error and sends nothing: use http")
        return
    yield from country_problems(f"{place}.countries", via.countries)
    if isinstance(via, AppriseTransport):
        if trouble := _in_url_file(via):
            yield Problem(f"{place}.url_file", trouble)
        return
    if not is_web_url(via.url):
        yield Problem(f"{place}.url", "is not an https URL: codes would be sent unencrypted, or not at all")
    for key, message in _of_request(via):
        yield Problem(f"{place}.{key}", message)


def country_problems(place: str, codes: Iterable[str]) -> Iterator[Problem]:
    """Yield a problem for each of `codes` that is not the ISO code of a country."""
    for code in codes:
        if code not in phonenumbers.SUPPORTED_REGIONS:
            yield Problem(place, f"{code!r} is not the ISO code of a country with phone numbers, such as DE")


def gateway_name(via: SmsTransport) -> str:
    """The name of a gateway in logs and metrics: the host of its URL, or the file that has its URL."""
    if isinstance(via, AppriseTransport):
        return name_of(via)
    return urlsplit(via.url).netloc if isinstance(via, HttpTransport) else "console"


def body_format(via: HttpTransport) -> Literal["json", "form"]:
    """The format of the body, which decides how values are escaped: by the Content-Type header, else by the body itself.

    Raises ValueError, which says what to change.
    """
    given = next((value for name, value in via.headers.items() if name.lower() == "content-type"), "")
    kind = given.partition(";")[0].strip().lower()
    is_json = _is_json(via.body)
    if kind == "application/json" or kind.endswith("+json"):
        if not is_json:
            raise ValueError('is not JSON, which its Content-Type says: write placeholders in quotes, e.g. "{to}"')
        return "json"
    if kind not in {"", "application/x-www-form-urlencoded"}:
        raise ValueError(f"values cannot be escaped in {kind}, only in JSON and in application/x-www-form-urlencoded")
    return "json" if is_json and not kind else "form"


def _in_url_file(via: AppriseTransport) -> str | None:
    try:
        url = Path(via.url_file).read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except OSError:
        url = ""
    return why_no_service(url) if url else None  # the check of all secret files says what is wrong with the file


def _of_request(via: HttpTransport) -> Iterator[tuple[str, str]]:
    """Yield what the request must not contain: the setting, and what to change."""
    parts = {"url": via.url, "headers": "\n".join(via.headers.values()), "body": via.body}
    for key, text in parts.items():
        for name in dict.fromkeys(_ANY_PLACEHOLDER.findall(text)):
            if name not in _KNOWN:
                yield key, f"{{{name}}} stands for nothing: there are {{to}}, {{digits}}, {{text}} and {{secret}}"
    if "#" in via.url:
        yield "url", "what follows a # is not sent"
    filled = set(PLACEHOLDER.findall("\n".join(parts.values())))
    for name in ("to", "text"):
        if name not in filled and not (name == "to" and "digits" in filled):
            yield ("url" if via.method == "GET" else "body"), f"{{{name}}} stands nowhere in the request"
    if ("secret" in filled) != bool(via.secret_file):
        yield "secret_file", "needs both a file and a place for {secret} in the request, or neither"
    yield from _of_headers(via.headers)
    yield from _of_body(via)
    for pointer in via.accepted_json:
        if not _POINTER.fullmatch(pointer):
            yield "accepted_json", f"{pointer!r} is not a JSON Pointer such as /messages/0/status"


def _of_headers(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            yield "headers", f"{name!r} is not a header in plain ASCII"
        if "{text}" in value:
            yield "headers", "{text} has several lines, which a header cannot have"


def _of_body(via: HttpTransport) -> Iterator[tuple[str, str]]:
    if via.method == "GET" and via.body:
        yield "body", "a GET has none"
    elif via.body:
        try:
            body_format(via)
        except ValueError as error:
            yield "body", str(error)


def _is_json(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict | list)
    except msgspec.DecodeError:
        return False
