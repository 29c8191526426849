"""What can be set: the JSON Schema, every setting with its sentence, and an example file."""

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct

from threepid.config import settings
from threepid.config.settings import Config, EmailTransport, Limit, Section, SmsTransport, TermsDocument


class Setting(Struct, frozen=True):
    """One setting: its table, key, type as people read it, default as TOML (None: required), and what it does."""

    table: str
    key: str
    type: str
    default: str | None
    sentence: str


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return msgspec.json.schema(Config)


def all_settings() -> list[Setting]:
    """Every setting of every table, in the order of the file."""
    sentences = _sentences()
    found = []
    for table in msgspec.structs.fields(Config):
        section = _section(table.type)
        found += list(_of_table(table.encode_name, section, sentences))
    return found


def transports(table: str) -> dict[str, list[Setting]]:
    """The settings of each transport of `email` or `sms`."""
    sentences = _sentences()
    return {
        str(kind.__struct_config__.tag): list(_of_table(f"{table}.via", kind, sentences))
        for kind in _TRANSPORTS[table].__args__
    }


def example() -> str:
    """A configuration with every setting, its default and what it does, each in a line that can be uncommented alone.

    A table that is absent is off, so its header cannot stand there: its keys come first and have their whole names.
    """
    lines = [
        "# Every setting with its default. Uncomment what you change: each line stands for itself.",
        "",
        "# The tables accounts, identity, email and sms are off until one of their settings is uncommented.",
    ]
    header = ""
    table = None
    for setting in sorted(all_settings(), key=lambda one: not _is_optional(one.table)):
        if setting.table != table:
            table = setting.table
            lines += ["", f"# {_doc(table)}"]
            if not _is_optional(table) and "." not in table:
                header = table
                lines.append(f"[{table}]")
        value = setting.default if setting.default is not None else _REQUIRED[f"{setting.table}.{setting.key}"]
        name = f"{setting.table}.{setting.key}".removeprefix(f"{header}.")
        lines += [f"# {setting.sentence}", f"# {name} = {value}"]
    return "\n".join(lines) + "\n"


_TRANSPORTS: dict[str, Any] = {"email": EmailTransport, "sms": SmsTransport}
_REQUIRED = {
    "accounts.captcha.site_key": '"…"',
    "accounts.captcha.secret_file": '"captcha.secret"',
    "sms.via": '[{ transport = "http", url = "https://…", body = "…", secret_file = "…" }]',
    "server.tls.certificate_file": '"fullchain.pem"',
    "server.tls.key_file": '"privkey.pem"',
    "email.from": '"Example <noreply@example.org>"',
    "email.via": '[{ transport = "smtp", host = "mail.example.org", username = "…", password_file = "…" }]',
}


def _of_table(table: str, section: type[Struct], sentences: dict[tuple[str, str], str]) -> Iterator[Setting]:
    nested = []
    for field in msgspec.structs.fields(section):
        inner = _section(field.type)
        if issubclass(inner, Section) and field.encode_name != "via":
            nested.append((f"{table}.{field.encode_name}", inner))
            continue
        made = field.default_factory() if field.default_factory is not NODEFAULT else field.default
        default = None if made is NODEFAULT else _toml(made)
        yield Setting(table, field.encode_name, _readable(field.type), default, sentences[section.__name__, field.name])
    for name, inner in nested:
        yield from _of_table(name, inner, sentences)


def _section(type_: Any) -> type[Struct]:
    candidates = [type_, *getattr(type_, "__args__", ())]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, Section)), Struct)


def _is_optional(table: str) -> bool:
    return table.split(".", maxsplit=1)[0] in {"accounts", "identity", "email", "sms"}


def _doc(table: str) -> str:
    """The sentence of a table. The keys that follow a nested one are written with its name."""
    type_: Any = Config
    for key in table.split("."):
        type_ = _section(next(field.type for field in msgspec.structs.fields(type_) if field.encode_name == key))
    return " ".join((inspect.getdoc(type_) or "").split())


def _sentences() -> dict[tuple[str, str], str]:
    """The string that stands under each member in the source: (class, member) → sentence."""
    found = {}
    for node in ast.parse(inspect.getsource(settings)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for member, following in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(member, ast.AnnAssign)
                and isinstance(member.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                found[node.name, member.target.id] = " ".join(str(following.value.value).split())
    return found


def _readable(type_: Any) -> str:
    origin = getattr(type_, "__origin__", None)
    if hasattr(type_, "__metadata__"):
        return _readable(type_.__origin__)
    if str(origin) == "typing.Literal":
        return " or ".join(f'"{choice}"' for choice in type_.__args__)
    if origin is tuple:
        inner = type_.__args__[0]
        return f"list of {_LISTED.get(inner) or _readable(inner)}"
    if origin is dict:
        return "table of texts"
    return {Limit: "limit", str: "text", int: "number", float: "number", bool: "true or false"}.get(type_, str(type_))


_LISTED: dict[Any, str] = {EmailTransport: "transports", SmsTransport: "transports", TermsDocument: "documents"}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Limit):
        return f"{{ burst = {value.burst}, per_hour = {value.per_hour:g} }}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(member) for member in value) + "]"
    return f'"{value}"' if isinstance(value, str) else "{}" if isinstance(value, dict) else str(value)
