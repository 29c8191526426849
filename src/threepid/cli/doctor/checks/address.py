"""The public URL: DNS, the way to this server, whether it can work, and the clocks."""

import asyncio
import contextlib
import socket
from typing import Final
from urllib.parse import urlsplit

from threepid import config
from threepid.cli.doctor.check import OK, Verdict, check, failure, is_beside, warning
from threepid.cli.doctor.scene import NoAnswer, Scene, quoted
from threepid.clock import SECOND, SKEW
from threepid.config import Config

_LIVE: Final = "/_threepid/health/live"
_READY: Final = "/_threepid/health/ready"
_MOST_ADDRESSES: Final = 8
_NOTED: Final = 5 * SECOND
"""Difference of two clocks that is worth a word, in milliseconds: a Date has whole seconds, and an answer takes some time."""


async def _addresses(url: str) -> list[tuple[str, int]]:
    """The addresses and the port of the host of a URL, as this machine resolves it. Raises OSError."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname or "", port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError("no name") from None
    return [*dict.fromkeys((str(place[4][0]), port) for place in found)][:_MOST_ADDRESSES]


@check("Does the name in server.public_base_url resolve?")
async def name_resolves(scene: Scene) -> Verdict:
    """Ask the resolver of this machine."""
    host = urlsplit(scene.base).hostname or ""
    try:
        await _addresses(scene.base)
    except OSError:
        return failure(
            f"{host} does not resolve: add its A or AAAA record to the DNS, or correct server.public_base_url."
        )
    return OK


@check("Does each address of that name accept connections?", needs=(name_resolves,))
async def addresses_accept(scene: Scene) -> Verdict:
    """Connect to each address: with a wrong AAAA record, only some people get through."""
    try:
        places = await _addresses(scene.base)
    except OSError:
        return failure("The name resolves only now and then: look at the name servers of its domain.")
    accepted = await asyncio.gather(*(_accepts(address, port, scene.seconds) for address, port in places))
    silent = [address for (address, _), accepts in zip(places, accepted, strict=True) if not accepts]
    if not silent:
        return OK
    named = f"{', '.join(silent)} (port {places[0][1]})"
    if len(silent) == len(places):
        return failure(f"Nothing accepts connections at {named}: start the reverse proxy, and open the port.")
    return warning(
        f"Nothing accepts connections at {named}: correct that record, or let the reverse proxy listen there."
    )


async def _accepts(address: str, port: int, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


@check("Does server.public_base_url lead to this server?", needs=(name_resolves,))
async def url_leads_here(scene: Scene) -> Verdict:
    """Ask for the health check, whose answer says who has given it."""
    url = f"{scene.base}{_LIVE}"
    try:
        found = await scene.get(url)
    except NoAnswer as error:
        return failure(f"{url} does not answer: {error}.")
    if found.is_ours:
        return OK
    return failure(
        f"{url} answers with status {found.status}, and not from this server: start it, and take the configuration of the "
        "reverse proxy from `threepid proxy`. An older threepid has to be restarted once."
    )


@check("Can this server do its work?", needs=(url_leads_here,))
async def server_is_ready(scene: Scene) -> Verdict:
    """Ask for the health check that reads the database."""
    found = await scene.get(f"{scene.base}{_READY}")
    if found.is_ours and found.status == 200:  # noqa: PLR2004 - OK
        return OK
    return failure(
        f"The health check answers with status {found.status}: look into the log of the server, and run `threepid config check`."
    )


def _has_another_name(settings: Config) -> bool:
    return (
        settings.identity is not None
        and config.identity_name(settings) != urlsplit(settings.server.public_base_url).netloc
    )


@check("Does identity.name lead to this server?", where=_has_another_name)
async def identity_name_leads_here(scene: Scene) -> Verdict:
    """Ask for the identity server where clients ask for it: by https at its name."""
    url = f"https://{config.identity_name(scene.settings)}/_matrix/identity/v2"
    try:
        found = await scene.get(url)
    except NoAnswer as error:
        return failure(f"{url} does not answer: {error}. Clients ask there for the identity server.")
    if found.is_ours:
        return OK
    return failure(f"{url} is not answered by this server: correct identity.name or the reverse proxy.")


@check("Does the clock of the public URL agree with this machine?", needs=(url_leads_here,))
async def public_clock_agrees(scene: Scene) -> Verdict:
    """Compare the field Date of an answer."""
    return await _compare_clocks(scene, f"{scene.base}{_LIVE}", "the machine of the reverse proxy")


@check("Does the clock of the homeserver agree with this machine?", where=is_beside)
async def homeserver_clock_agrees(scene: Scene) -> Verdict:
    """Compare the field Date of an answer."""
    return await _compare_clocks(scene, f"{scene.homeserver}/_matrix/client/versions", "the machine of the homeserver")


async def _compare_clocks(scene: Scene, url: str, machine: str) -> Verdict:
    asked_at = scene.clock.now()
    found = await scene.ask("GET", url)
    if "date" not in found.headers:
        return OK
    if found.date is None:
        return warning(f"{url} sends the date {quoted(found.headers['date'])}, which is not a date.")
    # The answer was dated between the question and now.
    apart = max(asked_at - found.date - SECOND, found.date - scene.clock.now(), 0)
    if apart <= _NOTED:
        return OK
    say = failure if apart > SKEW else warning
    return say(f"The clocks are {apart // SECOND} seconds apart: let this machine and {machine} set theirs by NTP.")


CHECKS: Final = (
    name_resolves,
    addresses_accept,
    url_leads_here,
    server_is_ready,
    identity_name_leads_here,
    public_clock_agrees,
    homeserver_clock_agrees,
)
