"""Allow the owner's app to replace the keys by which people recognise the account's devices.

Beside a homeserver only: it asks for this page when an app sends other keys than before.
https://spec.matrix.org/latest/client-server-api/#account-management-url-actions
"""

import re
from typing import Final

from threepid.clock import MINUTE
from threepid.http.exchange import Answer
from threepid.spec.errors import NotFound
from threepid.spec.oauth.accounts import KEYS
from threepid.web.page import Access, page
from threepid.web.visit import SignedIn

_ALLOWED_FOR: Final = 10 * MINUTE
_TIME: Final = re.compile(r"[0-9]{1,15}")


@page("GET", KEYS, access=Access.CONFIRMED)
async def show_keys(visit: SignedIn) -> Answer:
    """Say what a reset means, or that it was allowed."""
    _require_homeserver(visit)
    since = visit.query.get("allowed", "")
    known = _TIME.fullmatch(since) is not None
    allowed = known and 0 <= visit.services.context.clock.now() - int(since) < _ALLOWED_FOR
    return visit.show("portal/keys.html", allowed=allowed)


@page("POST", KEYS, access=Access.CONFIRMED)
async def allow_reset(visit: SignedIn) -> Answer:
    """Allow one reset in the next minutes."""
    _require_homeserver(visit)
    await visit.homeserver.provisioning.allow_cross_signing_reset(visit.user_id, visit.grant)
    # Phones drop a page that their person leaves for the app, and load it again: that must not allow another reset.
    return visit.redirect(f"{KEYS}?allowed={visit.services.context.clock.now()}")


def _require_homeserver(visit: SignedIn) -> None:
    """Raise NotFound if accounts stand alone: then nobody has keys here."""
    if visit.homeserver.provisioning.synapse is None:
        raise NotFound


PAGES: Final = (show_keys, allow_reset)
