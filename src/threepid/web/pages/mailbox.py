"""The development mailbox: shows mails that were not sent. Served only with the `mailbox` transport."""

import email
import email.policy
import re
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from threepid.domain.mailbox import Mailbox
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Request
from threepid.i18n import Text
from threepid.web.render import HEADERS, PageRoute, Pages

_SHOWN: Final = 50


class Line(Struct, frozen=True):
    """One line of the list."""

    id: str
    recipient: str
    subject: str


def routes(services: Services) -> list[PageRoute]:
    """The routes of the mailbox."""
    box = _Mailbox(services)
    return [
        PageRoute("/mailbox/", {"GET": box.list}),
        PageRoute("/mailbox/{mail_id}", {"GET": box.show}),
        PageRoute("/mailbox/{mail_id}/html", {"GET": box.html}),
        PageRoute("/mailbox/{mail_id}/raw", {"GET": box.raw}),
    ]


class _Mailbox:
    def __init__(self, services: Services) -> None:
        self._mailbox = Mailbox(services.context)
        self._base = services.context.config.server.public_base_url.rstrip("/")

    async def list(self, pages: Pages, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """List the newest mails."""
        mails = await self._mailbox.newest(_SHOWN)
        lines = [Line(mail.id, mail.recipient, str(_parse(mail.message)["Subject"])) for mail in mails]
        return pages.page("mailbox.html", mails=lines)

    async def show(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """Show one mail."""
        mail = await self._mailbox.get(variables["mail_id"])
        if mail is None:
            return self._gone(pages)
        message = _parse(mail.message)
        text = _part(message, "plain")
        link = re.search(re.escape(self._base) + r"/\S+", text)
        return pages.page(
            "mail.html",
            id=mail.id,
            recipient=mail.recipient,
            subject=str(message["Subject"]),
            text=text,
            link=link[0].removeprefix(self._base) if link else None,
            allow={"frame-src": "'self'"},
        )

    async def html(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """The HTML part, for the frame on the mail's page: its policy blocks scripts, resources and links."""
        mail = await self._mailbox.get(variables["mail_id"])
        if mail is None:
            return self._gone(pages)
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
        return Answer(
            200,
            _part(_parse(mail.message), "html").encode("utf-8"),
            content_type="text/html; charset=utf-8",
            headers=HEADERS.replacing({"Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"}),
        )

    async def raw(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """The message as it would have been sent."""
        mail = await self._mailbox.get(variables["mail_id"])
        if mail is None:
            return self._gone(pages)
        return Answer(200, mail.message, content_type="text/plain; charset=utf-8", headers=HEADERS)

    @staticmethod
    def _gone(pages: Pages) -> Answer:
        return pages.message(Text("This mail does not exist"), Text("Newer mails may have replaced it."), status=404)


def _parse(message: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(message, policy=email.policy.SMTP)
    if not isinstance(parsed, EmailMessage):
        raise TypeError(type(parsed))
    return parsed


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()) if isinstance(part, EmailMessage) else ""
