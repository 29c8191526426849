"""The start page of an account, which leads apps to the page of what their people want to do."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from threepid.http.exchange import Answer
from threepid.spec.oauth.accounts import Action
from threepid.web.page import page
from threepid.web.portal.close import CLOSE
from threepid.web.portal.keys import KEYS
from threepid.web.portal.sessions import SESSIONS
from threepid.web.visit import HOME, SignedIn

_PAGES: Final[Mapping[str, str]] = {
    Action.DEVICES_LIST: SESSIONS,
    Action.DEVICE_VIEW: SESSIONS,
    Action.DEVICE_DELETE: SESSIONS,
    Action.SESSIONS_LIST: SESSIONS,
    Action.SESSION_VIEW: SESSIONS,
    Action.SESSION_END: SESSIONS,
    Action.ACCOUNT_DEACTIVATE: CLOSE,
    Action.CROSS_SIGNING_RESET: KEYS,
}
"""The page of each action; this one, which has the account with its contacts, for all others."""
_OF_ONE_DEVICE: Final = frozenset({Action.DEVICE_VIEW, Action.DEVICE_DELETE, Action.SESSION_VIEW, Action.SESSION_END})


@page("GET", HOME)
async def show_home(visit: SignedIn) -> Answer:
    """Show the account with its contacts, and the ways to everything else; or go to the page of an action.

    https://spec.matrix.org/latest/client-server-api/#account-management-url-actions
    """
    action = visit.query.get("action", "")
    path = _PAGES.get(action)
    if path == KEYS and visit.homeserver.provisioning.synapse is None:
        path = None  # no homeserver beside us, so no keys
    if path is not None:
        device_id = visit.query.get("device_id", "") if action in _OF_ONE_DEVICE else ""
        return visit.redirect(f"{path}?{urlencode({'device': device_id})}" if device_id else path)
    return visit.show("portal/home.html", contacts=await visit.homeserver.portal_contacts.list_of(visit.user_id))


PAGES: Final = (show_home,)
