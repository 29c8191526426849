"""The page at `/`: on a development server, where everything is; else the account portal, or what this identity server is."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from threepid.config import Config, has_mailbox, identity_name
from threepid.config.problem import is_loopback
from threepid.domain.languages import fitting
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Request
from threepid.web.render import PageRoute, Pages, redirect
from threepid.web.visit import HOME


class Document(Struct, frozen=True):
    """A link to a document."""

    name: str
    url: str


def routes(services: Services) -> list[PageRoute]:
    """The route of the page."""
    config = services.context.config

    async def show(pages: Pages, _request: Request, _variables: Mapping[str, str]) -> Answer:
        if is_development(config):
            return pages.page(
                "development.html",
                base=config.server.public_base_url.rstrip("/"),
                server_name=config.server.name,
                has_accounts=config.accounts is not None,
                has_phones=config.sms is not None,
                walk="README.md",
                endpoints="/docs/api",
                guides="docs/guides/",
            )
        if config.accounts is not None:
            return redirect(HOME)
        return pages.page(
            "index.html",
            identity_name=identity_name(config),
            has_phones=config.sms is not None,
            documents=_documents(config, pages.language),
        )

    return [PageRoute("/", {"GET": show})]


def is_development(config: Config) -> bool:
    """Is this a development server: for this machine alone, with the mailbox in place of mails?"""
    host = urlsplit(config.server.public_base_url).hostname or ""
    return is_loopback(host) and has_mailbox(config)


def _documents(config: Config, language: str) -> list[Document]:
    """The documents of the identity server in the page's language, else in one that they have."""
    found = []
    for document in config.identity.terms if config.identity is not None else ():
        if document.languages:
            text = document.languages[fitting(config, [language], list(document.languages))]
            found.append(Document(text.name, text.url))
    return found
