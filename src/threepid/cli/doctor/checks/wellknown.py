"""The files by which clients and other servers find this server from its name.

https://spec.matrix.org/latest/client-server-api/#well-known-uris
https://spec.matrix.org/latest/server-server-api/#server-discovery
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from threepid.cli.doctor.check import OK, Verdict, check, failure, has_accounts, warning
from threepid.cli.doctor.scene import NoAnswer, Reply, Scene, quoted
from threepid.spec.oauth.server import MANAGE, issuer
from threepid.spec.server_name import parse_server_name

_MOST_REDIRECTS: Final = 3
_FORWARD: Final = "let the web server of that name forward /.well-known/matrix/ to this server"


def url_of(scene: Scene, file: str) -> str:
    """The URL at which others look for a file: by https at the server's name, whatever the public URL is."""
    name, public = scene.settings.server.name, urlsplit(scene.base)
    host = parse_server_name(name).host
    literal = f"[{host}]" if ":" in host else host
    # A development server has its own URL for name, and no https.
    here = public.netloc == name or (public.hostname == host and public.scheme == "http")
    return f"{scene.base if here else f'https://{literal}'}/.well-known/matrix/{file}"


async def _read(scene: Scene, file: str) -> Reply:
    """The file, after redirects. Raises NoAnswer."""
    url = url_of(scene, file)
    found = await scene.get(url)
    for _ in range(_MOST_REDIRECTS):
        if not HTTPStatus.MULTIPLE_CHOICES <= found.status < HTTPStatus.BAD_REQUEST:
            break
        try:
            url = urljoin(url, found.headers.get("location", ""))
            is_encrypted = urlsplit(url).scheme == "https"
        except ValueError:
            raise NoAnswer("it is redirected to something that is no URL") from None
        if not is_encrypted:
            raise NoAnswer("it is redirected to a URL without https")
        found = await scene.get(url)
    return found


@check("Do clients find this server by its name?", where=has_accounts)
async def clients_find_us(scene: Scene) -> Verdict:
    """Compare `/.well-known/matrix/client` of the server's name with the configuration."""
    url = url_of(scene, "client")
    try:
        found = await _read(scene, "client")
    except NoAnswer as error:
        return warning(f"{url} does not answer: {error}. For clients that know only the name, {_FORWARD}.")
    if found.status != HTTPStatus.OK or not found.json:
        return warning(
            f"{url} answers with status {found.status} and no file. For clients that know only the name, {_FORWARD}."
        )
    wrong = _differences(scene, found)
    if wrong:
        return failure(f"{url} says {'; '.join(wrong)}: correct the file, or {_FORWARD}.")
    missing = _gaps(scene, found)
    if missing:
        return warning(f"{url} lacks {' and '.join(missing)}: add it, or {_FORWARD}.")
    return OK


def _differences(scene: Scene, found: Reply) -> list[str]:
    wrong = []
    base = found.text("m.homeserver", "base_url")
    if base.rstrip("/") != scene.base:
        wrong.append(f"m.homeserver {quoted(base)} in place of {scene.base}")
    identity = found.text("m.identity_server", "base_url")
    if scene.settings.identity is not None and identity and identity.rstrip("/") != scene.base:
        wrong.append(f"m.identity_server {quoted(identity)} in place of {scene.base}")
    if scene.settings.oauth.enabled:
        for member, expected in (("issuer", issuer(scene.base)), ("account", f"{scene.base}{MANAGE}")):
            said = found.text("org.matrix.msc2965.authentication", member)
            if said and said != expected:
                wrong.append(f"org.matrix.msc2965.authentication {member} {quoted(said)} in place of {expected}")
    return wrong


def _gaps(scene: Scene, found: Reply) -> list[str]:
    missing = []
    if scene.settings.identity is not None and not found.text("m.identity_server", "base_url"):
        missing.append("m.identity_server")
    if scene.settings.oauth.enabled and not found.text("org.matrix.msc2965.authentication", "issuer"):
        missing.append("org.matrix.msc2965.authentication, which older clients need")
    if found.headers.get("access-control-allow-origin") != "*":
        missing.append("the header Access-Control-Allow-Origin: *, without which clients in browsers cannot read it")
    return missing


@check("Do other servers find this server by its name?", where=has_accounts)
async def servers_find_us(scene: Scene) -> Verdict:
    """Compare `/.well-known/matrix/server` of the server's name with the public URL."""
    name = parse_server_name(scene.settings.server.name)
    if name.port is not None or name.is_literal:
        return OK  # others do not look for a file then
    public = urlsplit(scene.base)
    expected = f"{public.netloc.rpartition('@')[2]}"
    if public.port is None:
        expected = f"{expected}:{443 if public.scheme == 'https' else 80}"
    url = url_of(scene, "server")
    try:
        found = await _read(scene, "server")
    except NoAnswer as error:
        return warning(f"{url} does not answer: {error}. Others try {name.host}:8448 then; {_FORWARD}.")
    told = found.text("m.server")
    if not told:
        return warning(f"{url} names no server. Others try {name.host}:8448 then; {_FORWARD}.")
    if told != expected:
        return warning(
            f"{url} names {quoted(told)} in place of {expected}: change it, unless that place leads to the same servers."
        )
    return OK


CHECKS: Final = (clients_find_us, servers_find_us)
