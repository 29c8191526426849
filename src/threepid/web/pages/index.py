"""The page at `/`: describes this server and links to its other pages and documents."""

from collections.abc import Mapping
from functools import cache

from msgspec import Struct

from threepid.config import Config, MailboxTransport, identity_name
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Request, Route
from threepid.i18n.catalogues import DEFAULT_LANGUAGE
from threepid.web.render import Pages


class Document(Struct, frozen=True):
    """A link to a document."""

    name: str
    url: str


def routes(services: Services, pages: Pages) -> list[Route]:
    """The route of the page."""
    config = services.context.config

    @cache
    def answer() -> Answer:
        return pages.page(
            "index.html",
            base=config.server.public_base_url.rstrip("/"),
            server_name=config.server.name if config.accounts is not None else None,
            registration=config.accounts.registration if config.accounts is not None else None,
            identity_name=identity_name(config) if config.identity is not None else None,
            has_phones=config.sms is not None,
            documents=_documents(config),
            has_mailbox=config.email is not None and any(isinstance(via, MailboxTransport) for via in config.email.via),
        )

    async def show(_request: Request, _variables: Mapping[str, str]) -> Answer:
        return answer()

    return [Route("/", {"GET": show})]


def _documents(config: Config) -> list[Document]:
    """The documents of both roles in the page's language, else in their first; each URL once."""
    found = {}
    for role in (config.accounts, config.identity):
        for document in role.terms if role is not None else ():
            text = document.languages.get(DEFAULT_LANGUAGE) or next(iter(document.languages.values()), None)
            if text is not None:
                found[text.url] = Document(text.name, text.url)
    return list(found.values())
