"""Close the account for good."""

from typing import Final

from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.oauth.accounts import CLOSE
from threepid.web.page import Access, Form, page
from threepid.web.visit import HOME, SignedIn, Visit, signed_out_cookies


class CloseForm(Form, frozen=True):
    """What the person confirms."""

    kept = ("erase",)

    understood: str = ""
    erase: str = ""


@page("GET", CLOSE, access=Access.CONFIRMED)
async def show_close(visit: SignedIn) -> Answer:
    """Say what is lost."""
    kept = visit.kept(CloseForm)
    erase = kept is not None and bool(kept.erase)
    return visit.show("portal/close.html", set_cookies=visit.shown, problem=None, erase=erase)


@page("POST", CLOSE, access=Access.CONFIRMED)
async def close(visit: SignedIn, form: CloseForm) -> Answer:
    """Close the account."""
    if not form.understood:
        problem = Text("Tick the box first: this cannot be undone.")
        return visit.show("portal/close.html", status=400, problem=problem, erase=bool(form.erase))
    await visit.homeserver.closing.close(visit.user_id, visit.grant, id_server=None, erase=bool(form.erase))
    return visit.redirect("/account/closed", set_cookies=signed_out_cookies())


@page("GET", "/account/closed", access=Access.ANYONE)
async def show_closed(visit: Visit) -> Answer:
    """Say that the account is closed, but not to a browser with an account that is open."""
    if visit.session is not None:
        return visit.redirect(HOME)
    return visit.show("portal/closed.html")


PAGES: Final = (show_close, close, show_closed)
