"""The development mailbox: shows mails and SMS that were not sent. Served only with the `mailbox` transport."""

import email
import email.policy
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Final

from msgspec import Struct

from threepid.clock import SECOND
from threepid.domain.mailbox import Mail, Mailbox
from threepid.domain.services import Services
from threepid.http.exchange import Answer, Request
from threepid.http.parameters import parse_parameters
from threepid.i18n import Text
from threepid.web.render import HEADERS, PageRoute, Pages

_SHOWN: Final = 50
_SEARCHED: Final = 200


class Shown(Struct, frozen=True):
    """A message as the pages show it. An SMS has its first line as subject; `link` is the path of our link in a mail."""

    id: str
    recipient: str
    subject: str
    text: str
    received_at: int
    is_sms: bool
    link: str | None = None

    @property
    def moment(self) -> str:
        """When it was kept, for programs: https://html.spec.whatwg.org/multipage/text-level-semantics.html#the-time-element."""
        return f"{datetime.fromtimestamp(self.received_at // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def has(self, words: str) -> bool:
        """Does the recipient, the subject or the text contain each of the `words`?"""
        everything = f"{self.recipient}\n{self.subject}\n{self.text}".casefold()
        return all(word in everything for word in words.casefold().split())


def routes(services: Services) -> list[PageRoute]:
    """The routes of the mailbox."""
    box = _Mailbox(services)
    return [
        PageRoute("/mailbox/", {"GET": box.list}),
        PageRoute("/mailbox/{mail_id}", {"GET": box.show}),
        PageRoute("/mailbox/{mail_id}/html", {"GET": box.html}),
        PageRoute("/mailbox/{mail_id}/raw", {"GET": box.raw}),
    ]


def framed(html: str) -> Answer:
    """The HTML part of a mail, for a frame on one of our pages: its policy blocks scripts, resources and links."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
    return Answer(
        200,
        html.encode("utf-8"),
        content_type="text/html; charset=utf-8",
        headers=HEADERS.replacing({"Content-Security-Policy": policy, "X-Frame-Options": "SAMEORIGIN"}),
    )


class _Mailbox:
    def __init__(self, services: Services) -> None:
        self._mailbox = Mailbox(services.context)
        self._base = services.context.config.server.public_base_url.rstrip("/")

    async def list(self, pages: Pages, request: Request, _variables: Mapping[str, str]) -> Answer:
        """List the newest messages, or those that contain the words `q`."""
        words = parse_parameters(request.query_string).get("q", "").strip()
        found = [self._shown(mail) for mail in await self._mailbox.newest(_SEARCHED if words else _SHOWN)]
        return pages.page(
            "mailbox.html",
            mails=[one for one in found if one.has(words)][:_SHOWN],
            words=words,
            allow={"connect-src": "'self'"},
        )

    async def show(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """Show one message."""
        mail = await self._mailbox.get(variables["mail_id"])
        if mail is None:
            return self._gone(pages)
        if mail.is_sms:
            return pages.page("sms.html", sms=self._shown(mail))
        return pages.page("mail.html", mail=self._shown(mail), allow={"frame-src": "'self'"})

    async def html(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """The HTML part of a mail, for the frame on its page."""
        mail = await self._mailbox.get(variables["mail_id"])
        if mail is None or mail.is_sms:
            return self._gone(pages)
        return framed(_part(_parse(mail.message), "html"))

    async def raw(self, pages: Pages, _request: Request, variables: Mapping[str, str]) -> Answer:
        """The message as it would have been sent."""
        mail = await self._mailbox.get(variables["mail_id"])
        if mail is None:
            return self._gone(pages)
        return Answer(200, mail.message, content_type="text/plain; charset=utf-8", headers=HEADERS)

    def _shown(self, mail: Mail) -> Shown:
        if mail.is_sms:
            text = mail.message.decode()
            return Shown(mail.id, mail.recipient, text.partition("\n")[0], text, mail.received_at, is_sms=True)
        message = _parse(mail.message)
        text = _part(message, "plain")
        link = re.search(re.escape(self._base) + r"/\S+", text)
        return Shown(
            mail.id,
            mail.recipient,
            str(message["Subject"]),
            text,
            mail.received_at,
            is_sms=False,
            link=link[0].removeprefix(self._base) if link else None,
        )

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
