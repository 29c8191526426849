"""Health checks for load balancers and supervisors. They are not part of the specification."""

from msgspec import Struct

from threepid.api.call import Call
from threepid.spec.endpoint import Auth, endpoint, other


class Status(Struct, frozen=True):
    """The answer of a healthy process; an unhealthy one answers with an error."""

    status: str


@endpoint("GET", other("/_threepid/health/live"), auth=Auth.NONE)
async def health_live(call: Call) -> Status:  # noqa: ARG001 - the same for everybody
    """Say that the process answers requests. It asks nobody, not even the database: restart the server if this fails."""
    return Status("alive")


@endpoint("GET", other("/_threepid/health/ready"), auth=Auth.NONE)
async def health_ready(call: Call) -> Status:
    """Say that the process can do its work.

    503 if the server stops, or if the database cannot be read within 2 seconds or has another schema.
    """
    await call.services.health.check()
    return Status("ready")


ENDPOINTS = (health_live, health_ready)
