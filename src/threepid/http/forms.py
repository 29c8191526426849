"""Forms of our pages, and protection against cross-site requests."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from threepid.config import Config
from threepid.http.exchange import Request
from threepid.http.parameters import parse_form
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, InvalidParam

Form = Mapping[str, str]
"""The fields of a form."""
_MAX_FORM: Final = 65_536
_ONE_CLICK_PART: Final = re.compile(
    rb'name="?List-Unsubscribe"?[^\r\n]{0,200}\r?\n(?:[^\r\n]{1,200}\r?\n){0,5}\r?\nOne-Click\r?\n'
)


async def read(request: Request, config: Config) -> Form:
    """The fields of a form of ours. Raises Forbidden if another site sent it, InvalidParam if it is not a form."""
    refuse_foreign(request, config)
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise InvalidParam(Text("This form does not belong to this page."))
    return parse_form(await request.body(_MAX_FORM))


async def is_one_click(request: Request) -> bool:
    """Is this a mail program's one-click unsubscribe, in either form encoding? https://www.rfc-editor.org/rfc/rfc8058#section-3.2."""
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    body = await request.body(_MAX_FORM)
    if content_type == "multipart/form-data":
        return _ONE_CLICK_PART.search(body) is not None
    return content_type == "application/x-www-form-urlencoded" and body.strip() == b"List-Unsubscribe=One-Click"


def refuse_foreign(request: Request, config: Config) -> None:
    """Raise Forbidden if a browser says that another site sent this request.

    Our pages have the referrer policy `no-referrer`, so browsers send `Origin: null` for them, as for any sandboxed frame.
    Browsers that support `Sec-Fetch-Site` tell the two apart by it.
    """
    base = urlsplit(config.server.public_base_url)
    origin = request.header("origin")
    if request.header("sec-fetch-site") not in (None, "same-origin", "none") or origin not in (
        None,
        "null",
        f"{base.scheme}://{base.netloc}",
    ):
        raise Forbidden(Text("This form was sent by another site."))
