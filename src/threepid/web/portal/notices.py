"""The notices of the account: which are sent, and the optional ones on or off."""

from collections.abc import Mapping
from typing import Final

from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.web.page import Access, Fields, page
from threepid.web.visit import SignedIn

NOTICES: Final = "/account/notices"
_ALWAYS: Final[Mapping[str, Text]] = {
    "contact_added": Text("A contact was added"),
    "contact_removed": Text("A contact was removed"),
    "password_changed": Text("The password was changed"),
    "deactivated": Text("The account was closed"),
    "suspicious": Text("An app's sign-in may have been copied"),
    "notices_changed": Text("Notices were switched off"),
}
_OPTIONAL: Final[Mapping[str, Text]] = {
    "new_sign_in": Text("Somebody signed in"),
    "bound": Text("People can find you by a contact"),
    "unbound": Text("People can't find you by a contact any more"),
}


@page("GET", NOTICES, access=Access.CONFIRMED)
async def show_notices(visit: SignedIn) -> Answer:
    """Show which notices are sent, and to which contacts."""
    choices = await visit.homeserver.notices.choices(visit.user_id)
    return visit.show(
        "portal/notices.html",
        always=[_ALWAYS[event] for event in choices.always],
        optional=[(event, _OPTIONAL[event], is_on) for event, is_on in choices.optional.items()],
        contacts=await visit.homeserver.portal_contacts.list_of(visit.user_id),
    )


@page("POST", NOTICES, access=Access.CONFIRMED)
async def choose_notices(visit: SignedIn, form: Fields) -> Answer:
    """Switch on the notices whose boxes are ticked, and the others off."""
    await visit.homeserver.notices.choose(visit.user_id, form.values, visit.grant)
    return visit.redirect(f"{NOTICES}?saved=1")


PAGES: Final = (show_notices, choose_notices)
