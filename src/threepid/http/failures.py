"""The only place that turns an exception into the error that the caller gets.

Programs get it as JSON (`api/dispatch.py`), people as a page (`web/site.py`).
"""

import structlog

from threepid.clock import Entropy
from threepid.i18n import Text
from threepid.spec.errors import MatrixError, Unavailable, Unknown
from threepid.storage.engine.database import Busy, InDoubt

_log = structlog.get_logger()


def as_error(error: Exception, entropy: Entropy, *, where: str) -> MatrixError:
    """The error that the caller gets for `error`. An unexpected one is logged with `where` it happened.

    Call it while `error` is being handled. For an unexpected error the caller gets only an incident ID, by which the
    operator finds the traceback in the log.
    """
    if isinstance(error, MatrixError):
        return error
    if isinstance(error, Busy):
        return Unavailable(cause=str(error))
    if isinstance(error, InDoubt):
        return Unavailable(
            Text("We could not confirm that this was saved. Please check before you try again."), cause=str(error)
        )
    incident = entropy.token(count=9)
    _log.exception("request_crashed", endpoint=where, incident=incident)
    return Unknown(Text("Something went wrong on the server (incident %(incident)s).", incident=incident))
