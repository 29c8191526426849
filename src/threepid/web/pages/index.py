"""The page at `/`: describes this server and links to its other pages and documents."""

from collections.abc import Mapping

from msgspec import Struct

from threepid.config import Config, MailboxTransport, identity_name
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Request
from threepid.i18n import negotiation
from threepid.web.render import PageRoute, Pages


class Document(Struct, frozen=True):
    """A link to a document."""

    name: str
    url: str


def routes(services: Services) -> list[PageRoute]:
    """The route of the page."""
    config = services.context.config

    async def show(pages: Pages, _request: Request, _variables: Mapping[str, str]) -> Answer:
        return pages.page(
            "index.html",
            base=config.server.public_base_url.rstrip("/"),
            server_name=config.server.name if config.accounts is not None else None,
            registration=config.accounts.registration if config.accounts is not None else None,
            identity_name=identity_name(config) if config.identity is not None else None,
            has_phones=config.sms is not None,
            documents=_documents(config, pages.language),
            has_mailbox=config.email is not None and any(isinstance(via, MailboxTransport) for via in config.email.via),
        )

    return [PageRoute("/", {"GET": show})]


def _documents(config: Config, language: str) -> list[Document]:
    """The documents of both roles in the page's language, else in one that they have; each URL once."""
    found = {}
    for role in (config.accounts, config.identity):
        for document in role.terms if role is not None else ():
            if document.languages:
                text = document.languages[negotiation.best([language], list(document.languages))]
                found[text.url] = Document(text.name, text.url)
    return list(found.values())
