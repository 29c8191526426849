"""The stages that prove an address: one page asks for the address, the next for the code sent to it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct

from threepid.clock import MINUTE
from threepid.domain.addresses import Address
from threepid.domain.authentication.uia import Uia
from threepid.domain.services import Services
from threepid.domain.validation.lifetimes import CODE_LIFE
from threepid.http.exchange import Answer
from threepid.http.forms import Form
from threepid.i18n import Text, negotiation
from threepid.spec.errors import (
    LimitExceeded,
    MatrixError,
    NotFound,
    NoValidSession,
    SessionExpired,
    ThreepidAuthFailed,
    Unrecognized,
)
from threepid.spec.uia import AuthData, Operation
from threepid.web import countries, once
from threepid.web.fallback.visit import Visit
from threepid.web.typed import typed_address, typed_code


class Sent(Struct, frozen=True):
    """A sent message: the data of the validation session that the second page carries in its form."""

    medium: str
    address: str
    sid: str
    client_secret: str
    attempt: int
    is_validated: bool = False
    """Was the address validated before? Then no message was sent."""


class ContactStage:
    """The stage that proves an address of one medium."""

    def __init__(self, services: Services, uia: Uia, medium: str) -> None:
        """`medium` is `email` or `msisdn`."""
        self._validation = services.validation
        self._uia = uia
        self._entropy = services.context.entropy
        self._sms = services.context.config.sms
        self._medium = medium

    async def show(self, visit: Visit) -> Answer:
        """Show the first page, which asks for the address."""
        return self._ask_address(visit, {})

    async def resume(self, visit: Visit, sid: str, client_secret: str, *, again: bool) -> Answer | None:
        """The page that asks for the code of an earlier message; None if its session is over, or of another medium."""
        session = await self._validation.opened(visit.view.purpose, sid, client_secret)
        if session is None or session.medium != self._medium:
            return None
        sent = Sent(self._medium, session.address, sid, client_secret, session.send_attempt)
        return self._ask_code(visit, sent, again=again)

    async def submit(
        self, visit: Visit, form: Form, *, keep: Callable[[Sent, bool], Answer] | None = None
    ) -> Answer | None:
        """None if the stage is complete, else the next page. Raises NotFound or Unrecognized if it cannot be completed.

        `keep` makes the answer after a message was sent, for pages that show the next one by `resume`. Its second argument says
        whether the message was sent again.
        """
        keep = keep or (lambda sent, again: self._ask_code(visit, sent, again=again))
        action = form.get("action")
        if action == "send":
            return await self._send(visit, form, keep)
        sent = _read_sent(self._medium, form)
        if action == "again":
            return await self._send_again(visit, sent, keep)
        if action == "code":
            return await self._take_code(visit, sent, form.get("code", ""))
        return await self._look(visit, sent)

    async def _send(self, visit: Visit, form: Form, keep: Callable[[Sent, bool], Answer]) -> Answer | None:
        try:
            address = typed_address(self._medium, form.get("address", ""), form.get("country") or None)
            # The first page carries the client secret, so that a reload sends no second message.
            sent = await self._request(visit, address, once.read_key(form.get("client_secret", "")))
        except MatrixError as error:
            return self._ask_address(visit, form, error)
        return await self._complete(visit, sent) if sent.is_validated else keep(sent, False)

    async def _send_again(self, visit: Visit, sent: Sent, keep: Callable[[Sent, bool], Answer]) -> Answer | None:
        try:
            address = typed_address(self._medium, sent.address)
            sent = await self._request(visit, address, sent.client_secret, sent.attempt + 1)
        except MatrixError as error:
            return self._ask_code(visit, sent, error)
        return await self._complete(visit, sent) if sent.is_validated else keep(sent, True)

    async def _take_code(self, visit: Visit, sent: Sent, code: str) -> Answer | None:
        try:
            await self._validation.submit_token(sent.sid, sent.client_secret, typed_code(code))
        except NoValidSession:
            return self._ask_address(
                visit, {"address": sent.address}, SessionExpired(Text("This took too long. Please start again."))
            )
        except MatrixError as error:
            return self._ask_code(visit, sent, at_code=error)
        return await self._complete(visit, sent)

    async def _look(self, visit: Visit, sent: Sent) -> Answer | None:
        """Complete the stage: the person says that they confirmed the mailed link."""
        not_yet = Text("We have not seen that yet. Open the link in the mail and press the button on the page.")
        return await self._complete(visit, sent, not_yet)

    async def _complete(self, visit: Visit, sent: Sent, otherwise: Text | None = None) -> Answer | None:
        creds = {"sid": sent.sid, "client_secret": sent.client_secret}
        auth = AuthData(type=visit.stage, threepid_creds=creds)
        try:
            await self._uia.complete(visit.session, auth, client=visit.client)
        except (NotFound, Unrecognized):
            raise
        except ThreepidAuthFailed as error:
            return self._ask_code(visit, sent, ThreepidAuthFailed(otherwise or error.text))
        except MatrixError as error:
            return self._ask_code(visit, sent, error)
        return None

    async def _request(self, visit: Visit, address: Address, secret: str, attempt: int = 1) -> Sent:
        """Ask for a message in the session of a client secret, '' for a new one."""
        return await once.request(self._entropy, partial(self._open, visit, address), secret, attempt)

    async def _open(self, visit: Visit, address: Address, secret: str, attempt: int) -> Sent:
        sid = await self._validation.request_token(
            visit.view.purpose,
            address,
            client=visit.client,
            client_secret=secret,
            send_attempt=attempt,
            # The origin is that of the authentication session, not of this visitor: the code authorizes the session's request.
            origin=visit.view.origin,
            languages=visit.pages.wishes,
            closes=visit.view.operation is Operation.DEACTIVATE,
        )
        # A form that is sent again does not know of later messages.
        session = await self._validation.opened(visit.view.purpose, sid, secret)
        if session is None:  # it was closed meanwhile
            return Sent(self._medium, address.address, sid, secret, attempt)
        validated = session.validated_at is not None
        return Sent(self._medium, session.address, sid, secret, session.send_attempt, is_validated=validated)

    def _ask_address(self, visit: Visit, form: Form, error: MatrixError | None = None) -> Answer:
        offered = countries.choices(self._sms.countries if self._sms else (), visit.pages.language)
        codes = [country.code for country in offered]
        return self._page(
            f"auth_{self._medium}.html",
            visit,
            error,
            client_secret=self._entropy.token(),
            address=form.get("address", ""),
            countries=offered,
            country=form.get("country") or negotiation.likely_country(visit.pages.wishes, codes),
        )

    def _ask_code(
        self,
        visit: Visit,
        sent: Sent,
        error: MatrixError | None = None,
        *,
        at_code: MatrixError | None = None,
        again: bool = False,
    ) -> Answer:
        return self._page(
            "auth_code.html",
            visit,
            error or at_code,
            medium=self._medium,
            sent=sent,
            code_minutes=CODE_LIFE // MINUTE,
            at_code=at_code is not None,
            again=again,
        )

    def _page(self, template: str, visit: Visit, error: MatrixError | None, **values: Any) -> Answer:
        return visit.pages.page(
            template,
            status=error.status if error else 200,
            headers=error.headers() if error else None,
            visit=visit,
            problem=error.text if error else None,
            limited=isinstance(error, LimitExceeded),
            over=isinstance(error, SessionExpired),
            **values,
        )


def _read_sent(medium: str, form: Form) -> Sent:
    return Sent(
        medium,
        form.get("sent_to", ""),
        form.get("sid", ""),
        once.read_key(form.get("client_secret", "")),
        once.read_attempt(form.get("attempt", ""), 1),
    )
