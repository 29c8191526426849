"""Declarations of pages: path, who may see it and what its forms must prove, in one place.

The routes and the tests of all pages are derived from the declarations. A declaration that contradicts itself raises
BadDeclarationError when its module is imported.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from enum import Enum
from typing import Any, ClassVar, Final, Self

from msgspec import Struct

from threepid.http.exchange import Answer
from threepid.spec.endpoint import BadDeclarationError
from threepid.spec.operator_scopes import Scope
from threepid.spec.strict_json import convert

Handler = Callable[..., Awaitable[Answer]]
METHODS: Final = frozenset({"GET", "POST"})


class Access(Enum):
    """Who may see a page."""

    ANYONE = "anyone"
    SIGNED_IN = "a browser that is signed in"
    CONFIRMED = "a browser whose person proved ownership of the account a short time ago"
    NEAR = "anyone in the networks of operators"
    OPERATOR = "a browser that is signed in to the console of operators"


class Form(Struct, frozen=True):
    """The base of all forms."""

    kept: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that come back if the form came too long after the last proof: no passwords."""

    def __repr__(self) -> str:
        """Leave out the contents, because a password must not get into a log."""
        return f"{type(self).__name__}()"

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Self:
        """The form of these fields; unknown ones are ignored. Raises a MatrixError if one has a wrong value."""
        return convert(dict(fields), cls, lax=True)


class Fields(Form, frozen=True):
    """A form whose fields are not known before."""

    values: Mapping[str, str]

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Self:
        """All fields."""
        return cls(fields)


class Page:
    """One declared page; use the decorator `page` to create it."""

    def __init__(
        self, method: str, path: str, handler: Handler, *, access: Access, csrf: bool, scope: Scope | None = None
    ) -> None:
        """Read the types of the visit and the form from the handler's annotations."""
        self.method = method
        self.path = path
        self.handler = handler
        self.access = access
        self.csrf = csrf
        self.scope = scope
        self.name = handler.__name__
        hints = typing.get_type_hints(handler)
        hints.pop("return", None)
        self.visit_type: Any = hints.pop("visit", None)
        self.form_type: Any = hints.pop("form", None)
        self._refuse_contradictions(hints)

    def __repr__(self) -> str:
        """The method and the path."""
        return f"{self.method} {self.path}"

    def _refuse_contradictions(self, others: dict[str, Any]) -> None:
        accepted: frozenset[Access] = getattr(self.visit_type, "access", frozenset())
        for wrong, why in (
            (self.method not in METHODS, f"{self.method} is not one of {sorted(METHODS)}"),
            (not self.path.startswith("/"), "its path does not begin with a slash"),
            (not inspect.iscoroutinefunction(self.handler), "its handler is not a coroutine function"),
            (not inspect.getdoc(self.handler), "its handler has no docstring"),
            (bool(others), f"its handler takes {sorted(others)} besides `visit` and `form`"),
            (self.visit_type is None, "its handler takes no annotated `visit`"),
            (self.access not in accepted, f"its `visit` does not come from {self.access.value}"),
            (self.method == "GET" and self.form_type is not None, "a GET has no form"),
            (self.method == "GET" and not self.csrf, "a GET changes nothing, so it has no check to leave out"),
            (self.scope is not None and self.access is not Access.OPERATOR, "only operators have scopes"),
            (
                self.method == "POST" and self.access is Access.OPERATOR and self.scope is None,
                "an operator's act takes a scope",
            ),
            (not self.csrf and self.access is not Access.ANYONE, "a session's form without a check could be forged"),
            (
                self.form_type is not None
                and not (isinstance(self.form_type, type) and issubclass(self.form_type, Form)),
                "its form is not a Form",
            ),
        ):
            if wrong:
                raise BadDeclarationError(f"{self.handler.__qualname__}: {why}")


def page(
    method: str, path: str, *, access: Access = Access.SIGNED_IN, csrf: bool = True, scope: Scope | None = None
) -> Callable[[Handler], Page]:
    """Declare that the decorated coroutine function answers `method` on `path`.

    Its parameters are `visit` and, for a POST, `form` (a `Form` with the form's fields). Every POST must prove that it comes from
    one of our pages in the same browser, unless `csrf` is False. `scope` is what an operator must be permitted.
    """

    def declare(handler: Handler) -> Page:
        return Page(method, path, handler, access=access, csrf=csrf, scope=scope)

    return declare


def collect(*groups: Iterable[Page]) -> tuple[Page, ...]:
    """All pages of `groups`. Raises BadDeclarationError for two with the same method and path."""
    found: dict[tuple[str, str], Page] = {}
    for declared in (declared for group in groups for declared in group):
        key = (declared.method, declared.path)
        if key in found:
            raise BadDeclarationError(f"{declared} is declared by both {found[key].name} and {declared.name}")
        found[key] = declared
    return tuple(found.values())
