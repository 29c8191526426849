"""The page of one account: what an operator sees of it, and does to it."""

from collections.abc import Awaitable
from typing import Final
from urllib.parse import urlencode

from threepid.domain.addresses import Address, InvalidAddress, parse_address
from threepid.domain.operators.directory import typed_address
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, InvalidParam, MatrixError, NotFound, Unknown
from threepid.spec.operator_scopes import Scope
from threepid.web.console.people import LONGEST, show_search
from threepid.web.console.visit import ACCOUNT, HOME, LIMITS, SUPPRESSIONS, Operating, account_path
from threepid.web.page import Access, Form, page
from threepid.web.portal.security import data_file

_MESSAGES: Final = 10
NO_ADDRESS: Final = Text("This is not a valid email address.")
DONE: Final = {
    "link": Text("A link for a new password was sent"),
    "saved": Text("Your choice was saved."),
    "cleared": Text("Limits were cleared"),
    "sent": Text("A message was sent again"),
    "verified": Text("A contact was confirmed"),
    "reactivated": Text("The account was opened again"),
    "mailed": Text("An address gets mails again"),
    "cancelled": Text("An invitation was cancelled"),
}
"""What the page says after an act, by the word in the query."""


class UserForm(Form, frozen=True):
    """The account that a form is about, by its user ID."""

    user: str = ""


class OutForm(UserForm, frozen=True):
    """What to log out: a device or browser, or everything."""

    kind: str = ""
    id: str = ""


class AddressForm(UserForm, frozen=True):
    """An address that a person types."""

    address: str = ""


class ContactForm(UserForm, frozen=True):
    """A contact, or a suppressed address, which is shown on the page of an account or, without `user`, on one of its own."""

    medium: str = ""
    address: str = ""

    @property
    def parsed(self) -> Address:
        """The address. Raises InvalidParam."""
        try:
            return parse_address(self.medium, self.address)
        except InvalidAddress:
            raise InvalidParam(NO_ADDRESS) from None


class MessageForm(UserForm, frozen=True):
    """A message to send again, shown on the page of an account or, without `user`, on that of the queue."""

    message: str = ""


class CloseForm(UserForm, frozen=True):
    """The confirmation of a deactivation."""

    understood: str = ""
    erase: str = ""


@page("GET", ACCOUNT, access=Access.OPERATOR, scope=Scope.ACCOUNTS_READ)
async def show_account(visit: Operating) -> Answer:
    """Show an account, given by user ID, username, address or number; the search again if there is none."""
    text = visit.query.get("user", "")[:LONGEST]
    try:
        user_id = await visit.homeserver.directory.find(text)
    except (InvalidParam, NotFound) as error:
        return show_search(visit, text, [], error=error)
    return await _show(visit, user_id)


@page("POST", f"{ACCOUNT}/link", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def send_link(visit: Operating, form: UserForm) -> Answer:
    """Send a link by which the owner chooses a password."""
    user_id = await visit.homeserver.directory.find(form.user)
    return await _act(visit, user_id, visit.homeserver.support.send_link(user_id, visit.operator), "link")


@page("POST", f"{ACCOUNT}/lock", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def lock(visit: Operating, form: UserForm) -> Answer:
    """Lock the account. Doing it again is no error."""
    user_id = await visit.homeserver.directory.find(form.user)
    return await _act(visit, user_id, visit.homeserver.support.lock(user_id, visit.operator))


@page("POST", f"{ACCOUNT}/unlock", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def unlock(visit: Operating, form: UserForm) -> Answer:
    """Unlock the account. Doing it again is no error."""
    user_id = await visit.homeserver.directory.find(form.user)
    return await _act(visit, user_id, visit.homeserver.support.unlock(user_id, visit.operator))


@page("POST", f"{ACCOUNT}/log-out", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def log_out(visit: Operating, form: OutForm) -> Answer:
    """Log out what was chosen."""
    user_id = await visit.homeserver.directory.find(form.user)
    support = visit.homeserver.support
    if form.kind == "all":
        return await _act(visit, user_id, support.log_out_everywhere(user_id, visit.operator))
    if form.kind == "browser":
        return await _act(visit, user_id, support.end_session(user_id, form.id, visit.operator))
    return await _act(visit, user_id, support.log_out(user_id, form.id, visit.operator))


@page("POST", f"{ACCOUNT}/add-contact", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def add_contact(visit: Operating, form: AddressForm) -> Answer:
    """Add an address that the operator knows to be the owner's: it is not asked to confirm."""
    user_id = await visit.homeserver.directory.find(form.user)

    async def add() -> None:
        address = typed_address(form.address.strip())
        if address is None:
            raise InvalidParam(NO_ADDRESS)
        await visit.homeserver.support.add_contact(user_id, address, visit.operator)

    return await _act(visit, user_id, add(), typed=form.address)


@page("POST", f"{ACCOUNT}/verify-contact", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def verify_contact(visit: Operating, form: ContactForm) -> Answer:
    """Record that a contact is still the owner's, so that it counts as validated now."""
    user_id = await visit.homeserver.directory.find(form.user)

    async def verify() -> None:
        await visit.homeserver.support.verify_contact(user_id, form.parsed, visit.operator)

    return await _act(visit, user_id, verify(), "verified")


@page("POST", f"{ACCOUNT}/remove-contact", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def remove_contact(visit: Operating, form: ContactForm) -> Answer:
    """Remove a contact of the account, and unbind its address."""
    user_id = await visit.homeserver.directory.find(form.user)

    async def remove() -> None:
        await visit.homeserver.support.remove_contact(user_id, form.parsed, visit.operator)

    return await _act(visit, user_id, remove())


@page("POST", f"{ACCOUNT}/limits", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def clear_limits(visit: Operating, form: UserForm) -> Answer:
    """Fill the limits again that keep the person out."""
    user_id = await visit.homeserver.directory.find(form.user)
    return await _act(
        visit, user_id, visit.services.operations.clear_limits(visit.operator, user_id=user_id), "cleared"
    )


@page("POST", SUPPRESSIONS, access=Access.OPERATOR, scope=Scope.MESSAGES_WRITE)
async def remove_suppression(visit: Operating, form: ContactForm) -> Answer:
    """Send mails to an address again from which they came back."""
    if not _is_from_account(visit, form):
        await visit.services.operations.remove_suppression(form.parsed, visit.operator)
        return visit.redirect(f"{SUPPRESSIONS}?done=mailed")
    user_id = await visit.homeserver.directory.find(form.user)

    async def remove() -> None:
        await visit.services.operations.remove_suppression(form.parsed, visit.operator)

    return await _act(visit, user_id, remove())


@page("POST", "/admin/resend", access=Access.OPERATOR, scope=Scope.MESSAGES_WRITE)
async def resend(visit: Operating, form: MessageForm) -> Answer:
    """Send a message now that waits for another attempt."""
    if not _is_from_account(visit, form):
        await visit.services.operations.resend(form.message, visit.operator)
        return visit.redirect("/admin/queue?done=sent")
    user_id = await visit.homeserver.directory.find(form.user)
    return await _act(visit, user_id, visit.services.operations.resend(form.message, visit.operator), "sent")


@page("POST", f"{ACCOUNT}/data", access=Access.OPERATOR, scope=Scope.ACCOUNTS_READ)
async def download_data(visit: Operating, form: UserForm) -> Answer:
    """Answer the data of the account as its owner can download it. That takes the scopes of messages and of the log, too."""
    user_id = await visit.homeserver.directory.find(form.user)
    try:
        data = await visit.homeserver.support.export(user_id, visit.operator)
    except Forbidden as error:
        return await _show(visit, user_id, error)
    return data_file(user_id, data)


@page("GET", f"{ACCOUNT}/deactivate", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def show_deactivate(visit: Operating) -> Answer:
    """Ask whether to deactivate the account."""
    text = visit.query.get("user", "")
    return _ask(visit, await visit.homeserver.directory.find(text), text)


@page("POST", f"{ACCOUNT}/deactivate", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def deactivate(visit: Operating, form: CloseForm) -> Answer:
    """Deactivate the account, if the operator says that this cannot be undone."""
    user_id = await visit.homeserver.directory.find(form.user)
    erase = form.erase == "yes"
    if form.understood != "yes":
        problem = InvalidParam(Text("Tick the box first: this cannot be undone."))
        return _ask(visit, user_id, form.user, problem, erase=erase)
    try:
        await visit.homeserver.support.deactivate(user_id, visit.operator, erase=erase)
    except MatrixError as error:
        return _ask(visit, user_id, form.user, error, erase=erase)
    return visit.redirect(_path(visit, user_id))


@page("POST", f"{ACCOUNT}/reactivate", access=Access.OPERATOR, scope=Scope.ACCOUNTS_WRITE)
async def reactivate(visit: Operating, form: UserForm) -> Answer:
    """Undo the deactivation of the account. It has no password: its owner chooses one by a link."""
    user_id = await visit.homeserver.directory.find(form.user)
    act = visit.homeserver.support.reactivate(user_id, None, visit.operator)
    return await _act(visit, user_id, act, "reactivated")


def _ask(
    visit: Operating, user_id: str, typed: str, error: MatrixError | None = None, *, erase: bool = False
) -> Answer:
    return visit.show(
        "console/deactivate.html",
        status=error.status if error else 200,
        user_id=user_id if visit.may(Scope.ACCOUNTS_READ) else typed,
        back=_path(visit, user_id),
        problem=error.text if error else None,
        erase=erase,
    )


def _is_from_account(visit: Operating, form: UserForm) -> bool:
    """Was a form of messages sent from the page of an account, which comes back?

    Who may not read accounts does not have that page, and must not learn whose a typed address is.
    """
    return bool(form.user) and visit.may(Scope.ACCOUNTS_READ)


async def _act(
    visit: Operating, user_id: str, act: Awaitable[object], done: str = "saved", *, typed: str = ""
) -> Answer:
    """Act, and show the account again if the operator may read it: with what went wrong, too."""
    try:
        await act
    except MatrixError as error:
        if isinstance(error, Unknown) or not visit.may(Scope.ACCOUNTS_READ):
            raise
        return await _show(visit, user_id, error, typed=typed)
    return visit.redirect(_path(visit, user_id, done))


def _path(visit: Operating, user_id: str, done: str = "") -> str:
    """The page of the account. For who may not read it, the start page: they must not learn whose a typed address is."""
    if not visit.may(Scope.ACCOUNTS_READ):
        return HOME
    return account_path(user_id) + (f"&{urlencode({'done': done})}" if done else "")


async def _show(visit: Operating, user_id: str, error: MatrixError | None = None, *, typed: str = "") -> Answer:
    directory = visit.homeserver.directory
    return visit.show(
        "console/account.html",
        status=error.status if error else 200,
        account=await directory.show(user_id),
        messages=await directory.messages(user_id, count=_MESSAGES) if visit.may(Scope.MESSAGES_READ) else None,
        audit=f"/admin/audit?{urlencode({'user': user_id})}",
        deactivate=f"{ACCOUNT}/deactivate?{urlencode({'user': user_id})}",
        limits=f"{LIMITS}?{urlencode({'user': user_id})}",
        typed=typed,
        done=DONE.get(visit.query.get("done", "")) if error is None else None,
        problem=error.text if error else None,
    )


PAGES: Final = (
    show_account,
    send_link,
    lock,
    unlock,
    log_out,
    add_contact,
    verify_contact,
    remove_contact,
    clear_limits,
    remove_suppression,
    resend,
    download_data,
    show_deactivate,
    deactivate,
    reactivate,
)
