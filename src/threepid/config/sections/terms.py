"""Documents that people must accept, in `[accounts]` and in `[identity]`."""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from threepid.config.section import Section


class TermsText(Section, frozen=True):
    """The document in one language."""

    name: str
    """Name of the document, as people see it."""
    url: str
    """URL of the document."""


class TermsDocument(Struct, frozen=True, kw_only=True):
    """A document that people must accept, in one or more languages."""

    noun: ClassVar[str] = "document"

    id: Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,64}\Z", description="1 to 64 of the characters a-z, 0-9 and _")]
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    languages: dict[
        Annotated[
            str,
            Meta(
                pattern=r"\A[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*\Z",
                description="the code of a language such as en or de-AT",
            ),
        ],
        TermsText,
    ]
