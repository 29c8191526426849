"""What the forms of pages send, and whether it was a form of ours."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from threepid.config import Config
from threepid.http.exchange import Request
from threepid.http.parameters import parse_form
from threepid.spec.errors import Forbidden, InvalidParam

Form = Mapping[str, str]
"""The fields of a form."""
_MAX_FORM: Final = 65_536
_ONE_CLICK_PART: Final = re.compile(
    rb'name="?List-Unsubscribe"?[^\r\n]{0,200}\r?\n(?:[^\r\n]{1,200}\r?\n){0,5}\r?\nOne-Click\r?\n'
)


async def read(request: Request, config: Config) -> Form:
    """The fields of a form of ours. Raises Forbidden for another site's, InvalidParam for what is no form."""
    refuse_foreign(request, config)
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise InvalidParam("This is not the form of this page.")
    return parse_form(await request.body(_MAX_FORM))


async def is_one_click(request: Request) -> bool:
    """Is this how a mail program unsubscribes? As a form of either kind. https://www.rfc-editor.org/rfc/rfc8058#section-3.2."""
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    body = await request.body(_MAX_FORM)
    if content_type == "multipart/form-data":
        return _ONE_CLICK_PART.search(body) is not None
    return content_type == "application/x-www-form-urlencoded" and body.strip() == b"List-Unsubscribe=One-Click"


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
