"""The homeserver beside us: its version and name, the secret both ways, and what it tells clients of us."""

import re
from http import HTTPStatus
from pathlib import Path
from typing import Final

from threepid import config
from threepid.cli.doctor.check import (
    OK,
    Verdict,
    check,
    failure,
    is_beside,
    is_identity_server_beside,
    not_asked,
    warning,
)
from threepid.cli.doctor.checks.address import url_leads_here
from threepid.cli.doctor.scene import NoAnswer, Scene, quoted
from threepid.config import ConfigError
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.keys import load_keyring
from threepid.spec.oauth.server import MANAGE, issuer

VERSIONS: Final = "/_matrix/client/versions"
METADATA: Final = "/_matrix/client/v1/auth_metadata"
KEYS: Final = "/_matrix/key/v2/server"
_DELEGATES: Final = "matrix_authentication_service"
_OLDEST: Final = (1, 136)
"""The first Synapse with that section. https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html"""
_ERRCODE: Final = re.compile(r"[A-Z_]{1,50}")
_PROBE: Final = "threepid-doctor"
"""A name that is only asked for; it does not matter whether there is a user who has it."""


@check("Does homeserver.url lead to a homeserver?", where=is_beside)
async def homeserver_answers(scene: Scene) -> Verdict:
    """Ask for the versions of the specification, which need no token."""
    url = f"{scene.homeserver}{VERSIONS}"
    try:
        found = await scene.get(url)
    except NoAnswer as error:
        return failure(
            f"{url} does not answer: {error}. Start Synapse, or correct homeserver.url. If Synapse does not start, "
            "`threepid doctor --homeserver-config` looks for the settings that it rejects."
        )
    if found.is_ours:
        return failure("homeserver.url is the URL of threepid itself: write that of Synapse's own listener.")
    if found.status != HTTPStatus.OK or not isinstance(found.json.get("versions"), list):
        return failure(f"{url} answers with status {found.status} and without versions: correct homeserver.url.")
    return OK


@check("Is the homeserver a Synapse that can leave accounts to us?", where=is_beside, needs=(homeserver_answers,))
async def version_suffices(scene: Scene) -> Verdict:
    """Read name and version from the federation API, if this listener has it."""
    found = await scene.get(f"{scene.homeserver}/_matrix/federation/v1/version")
    name, version = found.text("server", "name"), found.text("server", "version")
    if not name:
        return not_asked("This listener of Synapse does not serve the federation API, which has the version.")
    numbers = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    if name != "Synapse" or numbers is None:
        return failure(f"The homeserver is {quoted(f'{name} {version}')}, and [homeserver] is for Synapse.")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST:
        return failure(f"Synapse {numbers[0]} is too old: update it to {_OLDEST[0]}.{_OLDEST[1]} or newer.")
    return OK


@check("Does the homeserver have the name server.name?", where=is_beside, needs=(homeserver_answers,))
async def names_agree(scene: Scene) -> Verdict:
    """Read the name from the published keys, if this listener has them."""
    found = await scene.get(f"{scene.homeserver}{KEYS}")
    name = found.text("server_name")
    if not name:
        return not_asked("This listener of Synapse does not serve its keys, which have the name.")
    if name != scene.settings.server.name:
        return failure(
            f"Synapse's server_name is {quoted(name)}, and server.name is {scene.settings.server.name}: they must be equal."
        )
    return OK


@check(
    "Can we ask the homeserver whose an OpenID token is?", where=is_identity_server_beside, needs=(homeserver_answers,)
)
async def openid_tokens_are_known(scene: Scene) -> Verdict:
    """Ask with a token that nobody has: only a listener without the resource does not know the question.

    https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1openiduserinfo
    """
    found = await scene.get(f"{scene.homeserver}/_matrix/federation/v1/openid/userinfo?access_token={_PROBE}")
    if found.status == HTTPStatus.UNAUTHORIZED:
        return OK
    if found.status == HTTPStatus.NOT_FOUND:
        return failure(
            "Synapse does not answer that, so nobody can use the identity server: add `federation` to the resources of the "
            "listener at homeserver.url in Synapse's configuration, and restart Synapse."
        )
    return failure(f"Synapse answers with status {found.status}: look into its log.")


@check("Does the homeserver accept our secret?", where=is_beside, needs=(homeserver_answers,))
async def our_secret_is_accepted(scene: Scene) -> Verdict:
    """Ask for a user, which changes nothing, at the interface for authentication services."""
    settings = scene.settings.homeserver
    if settings is None:
        return OK
    # A server that starts has a safe URL; this one may have been changed since, or not have started yet.
    for unsafe in config.check(scene.settings):
        if unsafe.place == "[homeserver] url":
            return not_asked(f"{unsafe}.")
    try:
        secret = config.read_secret(Path(settings.secret_file))
    except ConfigError as error:
        return failure(f"homeserver.secret_file cannot be used: {error}.")
    url = f"{scene.homeserver}/_synapse/mas/query_user?localpart={_PROBE}"
    found = await scene.ask("GET", url, headers={"Authorization": f"Bearer {secret.reveal()}"})
    if found.status == HTTPStatus.OK or (found.status == HTTPStatus.NOT_FOUND and found.errcode == "M_NOT_FOUND"):
        return OK
    return failure(_refusal(found.status))


def _refusal(status: int) -> str:
    """What to change if Synapse does not take the secret."""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return (
            f"It does not: write the same secret into homeserver.secret_file and into {_DELEGATES} of Synapse, "
            "and restart both."
        )
    if status == HTTPStatus.NOT_FOUND:
        return (
            f"Synapse does not answer this: add {_DELEGATES} with `enabled: true` to its configuration, and restart it."
        )
    return f"Synapse answers with status {status}: look into its log."


@check("Can the homeserver ask us whose a token is?", where=is_beside, needs=(our_secret_is_accepted,))
async def tokens_are_introspected(scene: Scene) -> Verdict:
    """Send Synapse a token that nobody has: it says that it is unknown only after it has asked us, with its secret."""
    url = f"{scene.homeserver}/_matrix/client/v3/account/whoami"
    token = scene.entropy.token("doctor_")
    try:
        found = await scene.ask("GET", url, headers={"Authorization": f"Bearer {token}"})
    except NoAnswer as error:
        return failure(
            f"Synapse does not answer ({error}): {_DELEGATES}.endpoint leads to something that does not answer either."
        )
    if found.status == HTTPStatus.UNAUTHORIZED and found.errcode == "M_UNKNOWN_TOKEN":
        return OK
    if found.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return failure(
            f"It cannot: let {_DELEGATES}.endpoint lead to this server, as Synapse's machine reaches it, and restart "
            "whichever of the two has not read the secret since it was changed."
        )
    errcode = f" {found.errcode}" if _ERRCODE.fullmatch(found.errcode) else ""
    return failure(f"Synapse answers with status {found.status}{errcode}: look into its log.")


@check("Does the homeserver tell clients of our OAuth 2.0 API?", where=is_beside, needs=(our_secret_is_accepted,))
async def metadata_is_ours(scene: Scene) -> Verdict:
    """Compare the metadata that Synapse has fetched from us, which it keeps as long as it runs."""
    found = await scene.get(f"{scene.homeserver}{METADATA}")
    if found.status != HTTPStatus.OK:
        return failure(
            f"Synapse answers with status {found.status}, because it cannot fetch our metadata: let {_DELEGATES}.endpoint lead "
            "to this server."
        )
    known = (found.text("issuer"), found.text("account_management_uri"))
    ours = (issuer(scene.base), f"{scene.base}{MANAGE}")
    if known != ours:
        return failure(
            f"Synapse names the issuer {quoted(known[0])} and the account pages {quoted(known[1])} in place of {ours[0]} and "
            f"{ours[1]}: correct {_DELEGATES}.endpoint or server.public_base_url, and restart Synapse with its workers."
        )
    return OK


@check(
    "Is what the homeserver keeps of our metadata up to date?",
    where=is_beside,
    needs=(metadata_is_ours, url_leads_here),
)
async def metadata_is_fresh(scene: Scene) -> Verdict:
    """Compare it with what this server says now."""
    kept = await scene.get(f"{scene.homeserver}{METADATA}")
    now = await scene.get(f"{scene.base}/.well-known/openid-configuration")
    if now.is_ours and now.status == HTTPStatus.OK and kept.json != now.json:
        return warning("It has changed since Synapse fetched it: restart Synapse and its workers.")
    return OK


@check("Does the public URL lead to the same homeserver?", where=is_beside, needs=(homeserver_answers, url_leads_here))
async def public_url_has_the_homeserver(scene: Scene) -> Verdict:
    """Compare the versions that both announce."""
    direct = await scene.get(f"{scene.homeserver}{VERSIONS}")
    public = await scene.get(f"{scene.base}{VERSIONS}")
    if public.is_ours or public.status != HTTPStatus.OK or public.json.get("versions") != direct.json.get("versions"):
        return failure(
            f"{scene.base}{VERSIONS} announces other versions than homeserver.url: correct the reverse proxy by `threepid proxy`."
        )
    return OK


def _binds_here(settings: config.Config) -> bool:
    return settings.homeserver is not None and settings.homeserver.binds == "threepid"


@check("Do other identity servers accept it when we unbind an address?", where=_binds_here, needs=(homeserver_answers,))
async def unbinds_are_believed(scene: Scene) -> Verdict:
    """Compare our key with those that the homeserver publishes: identity servers verify our requests with them."""
    try:
        ours = load_keyring(Path(scene.settings.server.data_dir) / "keys").current
    except KeyFileError as error:
        return failure(str(error))
    found = await scene.get(f"{scene.homeserver}{KEYS}")
    if not found.text("server_name"):
        return not_asked("This listener of Synapse does not serve its keys.")
    if found.text("verify_keys", ours.key_id, "key") != ours.public_key:
        return failure(
            f"They do not, because our key {ours.key_id} is none of Synapse's: import the file `signing_key_path` of Synapse by "
            '`threepid keys import` and restart threepid, or set homeserver.binds = "homeserver".'
        )
    return OK


CHECKS: Final = (
    homeserver_answers,
    version_suffices,
    names_agree,
    openid_tokens_are_known,
    our_secret_is_accepted,
    tokens_are_introspected,
    metadata_is_ours,
    metadata_is_fresh,
    public_url_has_the_homeserver,
    unbinds_are_believed,
)
