"""The effective configuration as TOML, with secrets masked."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from threepid.config.sections import Config

MASK: Final = "***"
_SECRET: Final = re.compile(r"pass|secret|token|key|auth|cookie|credential|signature|pwd|pin", re.IGNORECASE)
"""Names of headers, parameters and members whose values may be secret."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_MEMBER: Final = re.compile(r"""(?P<name>["']?[\w.-]+["']?\s*[:=]\s*)(?P<value>"[^"]*"|'[^']*'|[^\s&,;{}"']+)""")
"""A member of JSON or a parameter of a form or query, with its value."""
_TEMPLATE: Final = re.compile(r"\{[a-z]+\}")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(config: Config) -> str:
    """Every setting that has a value, its default included, in a file that could be read back if nothing was masked."""
    lines: list[str] = []
    for table in msgspec.structs.fields(type(config)):
        section = getattr(config, table.name)
        if section is not None:
            lines += [f"[{table.encode_name}]", *_members(section), ""]
    return "\n".join(lines)


def _members(section: Struct) -> Iterator[str]:
    tag = section.__struct_config__
    if tag.tag_field:
        yield f"{tag.tag_field} = {_toml(tag.tag, secret=False)}"
    for field in msgspec.structs.fields(type(section)):
        value = getattr(section, field.name)
        if value is not None:
            yield f"{_key(field.encode_name)} = {_toml(value, secret=field.encode_name == 'body')}"


def _toml(value: Any, *, secret: bool) -> str:
    """A value in TOML; with `secret`, a text in which every member with a secret name is masked."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Struct):
        return "{ " + ", ".join(_members(value)) + " }" if [*_members(value)] else "{}"
    if isinstance(value, Mapping):
        members = [f"{_key(key)} = {_of_key(key, member)}" for key, member in value.items()]
        return "{ " + ", ".join(members) + " }" if members else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(member, secret=secret) for member in value) + "]"
    if isinstance(value, str):
        return _text(_masked_members(value) if secret else _masked_url(value))
    return str(value)


def _of_key(key: str, value: Any) -> str:
    """The value of a header: masked if its name says that it is secret, and no placeholder stands for the secret."""
    if isinstance(value, str) and _SECRET.search(key) and not _TEMPLATE.search(value):
        return _text(MASK)
    return _toml(value, secret=False)


def _masked_members(text: str) -> str:
    return _MEMBER.sub(lambda found: _masked(found["name"], found["value"]), text)


def _masked(name: str, value: str) -> str:
    if not _SECRET.search(name) or _TEMPLATE.search(value):
        return name + value
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{quote}{MASK}{quote}"


def _masked_url(text: str) -> str:
    """A URL without its password and without secret parameters; any other text as it is."""
    if "://" not in text:
        return text
    head, mark, query = text.partition("?")
    try:
        password = urlsplit(head).password
    except ValueError:
        return f"{text.partition('://')[0]}://{MASK}"
    if password:
        head = head.replace(f":{password}@", f":{MASK}@")
    return f"{head}{mark}{_masked_members(query)}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    escaped = "".join(_ESCAPES.get(one) or (one if one.isprintable() else f"\\U{ord(one):08x}") for one in value)
    return f'"{escaped}"'
