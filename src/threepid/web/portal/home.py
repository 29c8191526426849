"""The start page of an account, which leads apps to the page of what their people want to do."""

from typing import Final
from urllib.parse import urlencode

from threepid.http.exchange import Answer
from threepid.spec.oauth.accounts import place_of
from threepid.web.page import page
from threepid.web.visit import HOME, SignedIn


@page("GET", HOME)
async def show_home(visit: SignedIn) -> Answer:
    """Show the account with its contacts, and the ways to everything else; or go to the page of an action.

    https://spec.matrix.org/latest/client-server-api/#account-management-url-actions
    """
    has_homeserver = visit.homeserver.provisioning.synapse is not None
    place = place_of(visit.query.get("action", ""), has_homeserver=has_homeserver)
    if place.path != HOME:
        device_id = visit.query.get("device_id", "") if place.has_device else ""
        return visit.redirect(f"{place.path}?{urlencode({'device': device_id})}" if device_id else place.path)
    return visit.show(
        "portal/home.html",
        contacts=await visit.homeserver.portal_contacts.list_of(visit.user_id),
        may_add=visit.config.policy.changes_allowed and bool(visit.homeserver.recovery.media),
    )


PAGES: Final = (show_home,)
