"""What documentation says about an endpoint. The OpenAPI description makes it; pages and files show it."""

from msgspec import Struct


class Field(Struct, frozen=True):
    """A member of a request or an answer. The name of a member of a member has dots."""

    name: str
    type: str
    is_required: bool
    text: str


class Failure(Struct, frozen=True):
    """A status of error answers, and the codes that come with it, each in backticks."""

    status: str
    codes: str


class Described(Struct, frozen=True):
    """One endpoint."""

    name: str
    """The name of its operation in the OpenAPI document."""
    section: str
    method: str
    paths: tuple[str, ...]
    summary: str
    text: str
    url: str
    """The address of its specification; '' if it has none."""
    authentication: str
    is_deprecated: bool
    parameters: tuple[Field, ...]
    """The variables of the path, and the parameters of query and headers."""
    encodings: tuple[str, ...]
    """The media types of the body."""
    body: tuple[Field, ...]
    request: str
    """An example of the body; '' if it has none."""
    status: str
    answer: tuple[Field, ...]
    response: str
    """An example of the answer; '' if it has no body."""
    failures: tuple[Failure, ...]
