"""The start page of an account."""

from typing import Final

from threepid.http.exchange import Answer
from threepid.web.page import page
from threepid.web.visit import HOME, SignedIn


@page("GET", HOME)
async def show_home(visit: SignedIn) -> Answer:
    """Show the account with its contacts, and the ways to everything else."""
    return visit.show("portal/home.html", contacts=await visit.homeserver.portal_contacts.list_of(visit.user_id))


PAGES: Final = (show_home,)
