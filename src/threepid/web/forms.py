"""What the forms of pages send, and whether it was a form of ours."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from threepid.config import Config
from threepid.spec.errors import Forbidden, InvalidParam
from threepid.spec.exchange import Request
from threepid.spec.parameters import parse_form

Form = Mapping[str, str]
"""The fields of a form."""
_MAX_FORM: Final = 65_536


async def read(request: Request, config: Config) -> Form:
    """The fields of a form of ours. Raises Forbidden for another site's, InvalidParam for what is no form."""
    refuse_foreign(request, config)
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise InvalidParam("This is not the form of this page.")
    return parse_form(await request.body(_MAX_FORM))


def refuse_foreign(request: Request, config: Config) -> None:
    """Raise Forbidden if a browser says that another site sent this request.

    Our pages have the referrer policy `no-referrer`, so browsers call their origin `null`, as they do for a sandboxed frame
    anywhere: `Sec-Fetch-Site` tells these apart in all browsers that have it.
    """
    base = urlsplit(config.server.public_base_url)
    origin = request.header("origin")
    if request.header("sec-fetch-site") not in (None, "same-origin", "none") or origin not in (
        None,
        "null",
        f"{base.scheme}://{base.netloc}",
    ):
        raise Forbidden("This form was sent from another site.")
