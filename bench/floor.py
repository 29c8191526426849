"""The floor: a bare ASGI function that answers a constant JSON body of `FLOOR_BYTES` bytes.

`reading` reads the request's body before: that alone halves what Granian can do.
"""

import os
from typing import Any

BODY = (
    b'{"a":"' + b"x" * (int(os.environ.get("FLOOR_BYTES", "2")) - 8) + b'"}'
    if int(os.environ.get("FLOOR_BYTES", "2")) > 8
    else b"{}"
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(_scope: dict[str, Any], _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def reading(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await app(scope, receive, send)
