"""What becomes of an exception: the one place where each of them is made the error that a caller is told.

Programs get it as JSON (`api/dispatch.py`), people as a page (`web/site.py`).
"""

import structlog

from threepid.clock import Entropy
from threepid.spec.errors import MatrixError, Unavailable, Unknown
from threepid.storage.engine.database import Busy, InDoubt

_log = structlog.get_logger()


def as_error(error: Exception, entropy: Entropy, *, where: str) -> MatrixError:
    """What the caller is told of `error`. What nobody foresaw is logged with `where` it happened.

    To be called while `error` is handled. Of an unforeseen error the caller gets a number, by which the operator finds the
    traceback, and nothing of the traceback.
    """
    if isinstance(error, MatrixError):
        return error
    if isinstance(error, Busy):
        return Unavailable(cause=str(error))
    if isinstance(error, InDoubt):
        return Unavailable("It is not certain whether this was done: please look.", cause=str(error))
    incident = entropy.token(count=9)
    _log.exception("request_crashed", endpoint=where, incident=incident)
    return Unknown(f"Something went wrong on the server (incident {incident}).")
