"""TLS to other servers: their certificates are checked against the system's certificate authorities and those of a file."""

import ssl
from collections.abc import Callable
from functools import cache, partial


def checked_tls(ca_file: str) -> Callable[[], ssl.SSLContext]:
    """A function that returns the context for calls.

    A file is read now, to find a missing one at the start. The system's authorities take OpenSSL a tenth of a second, so they
    are loaded when somebody is called: most commands call nobody.
    """
    if ca_file:
        _context(ca_file)
    return partial(_context, ca_file)


@cache
def _context(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
