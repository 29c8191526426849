"""How SMS are sent: the transports of `[sms] via`, and the request to a gateway, written with placeholders."""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
import phonenumbers
from msgspec import Meta, field

from threepid.config.problem import Problem, is_web_url
from threepid.config.section import SecretFile, Section

PLACEHOLDER: Final = re.compile(r"\{(to|text|secret)\}")
_ANY_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][0-9A-Za-z_]*)\}")
_KNOWN: Final = frozenset({"to", "text", "secret"})
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[ -~]*")


class ConsoleTransport(Section, frozen=True, tag_field="transport", tag="console"):
    """Writes each SMS to standard error. For development only."""


class HttpTransport(Section, frozen=True, tag_field="transport", tag="http"):
    """An SMS gateway over HTTPS. `{to}`, `{text}` and `{secret}` are filled in and escaped for their place."""

    url: str
    """URL of the request."""
    method: Literal["GET", "POST", "PUT"] = "POST"
    """HTTP method of the request."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the request; empty = none of its own."""
    body: str = ""
    """Body of the request, e.g. `{"to": "{to}", "text": "{text}"}`; empty = none."""
    secret_file: SecretFile = ""
    """File with the value of `{secret}`; empty = no secret."""
    timeout: Annotated[float, Meta(gt=0, le=300)] = 15.0
    """Maximum time for one delivery, in seconds."""
    countries: tuple[str, ...] = ()
    """ISO codes of the countries whose numbers this gateway serves; empty = all."""


SmsTransport = ConsoleTransport | HttpTransport


def takes(via: SmsTransport, country: str) -> bool:
    """Does this gateway serve numbers of the country?"""
    return not isinstance(via, HttpTransport) or not via.countries or country in via.countries


def gateway_problems(place: str, via: SmsTransport, *, public: bool) -> Iterator[Problem]:
    """Yield the unsafe values of one gateway; `public` is whether other machines can reach the server."""
    if isinstance(via, ConsoleTransport):
        if public:
            yield Problem(place, "writes codes to standard error and sends nothing: use http")
        return
    yield from country_problems(f"{place}.countries", via.countries)
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
    """The name of a gateway in logs and metrics: the host of its URL."""
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


def _of_request(via: HttpTransport) -> Iterator[tuple[str, str]]:
    """Yield what the request must not contain: the setting, and what to change."""
    parts = {"url": via.url, "headers": "\n".join(via.headers.values()), "body": via.body}
    for key, text in parts.items():
        for name in dict.fromkeys(_ANY_PLACEHOLDER.findall(text)):
            if name not in _KNOWN:
                yield key, f"{{{name}}} stands for nothing: there are {{to}}, {{text}} and {{secret}}"
    if "#" in via.url:
        yield "url", "what follows a # is not sent"
    filled = set(PLACEHOLDER.findall("\n".join(parts.values())))
    for name in ("to", "text"):
        if name not in filled:
            yield ("url" if via.method == "GET" else "body"), f"{{{name}}} stands nowhere in the request"
    if ("secret" in filled) != bool(via.secret_file):
        yield "secret_file", "needs both a file and a place for {secret} in the request, or neither"
    yield from _of_headers(via.headers)
    yield from _of_body(via)


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
