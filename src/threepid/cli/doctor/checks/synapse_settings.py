"""Synapse's own configuration, if the operator names its files: what it rejects beside us, and what disagrees with ours.

https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html
"""

import hmac
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from threepid import config
from threepid.cli.doctor.check import OK, Verdict, check, failure, is_beside, warning
from threepid.cli.doctor.scene import NoAnswer, Scene, quoted
from threepid.config import ConfigError
from threepid.spec.oauth.server import issuer

_SECTION: Final = "matrix_authentication_service"
_ON: Final = frozenset({"yes", "y", "true", "t", "on", "1"})
_MOST_BYTES: Final = 10_000


def _at(tree: Mapping[str, Any], path: str) -> Any:
    value: Any = tree
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_on(value: Any) -> bool:
    return value is True or str(value).lower() in _ON


def _is_set(value: Any) -> bool:
    return value not in (None, False, 0, "", [], {})


def _is_section(value: Any) -> bool:
    """Is a section there, and not switched off in itself?"""
    return bool(value) and not (isinstance(value, dict) and value.get("enabled") is False)


REJECTED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "enable_registration": _is_on,
    "password_config.enabled": _is_set,
    "enable_3pid_changes": _is_on,
    "login_via_existing_session.enabled": _is_set,
    "refresh_token_lifetime": _is_set,
    "session_lifetime": _is_set,
    "nonrefreshable_access_token_lifetime": _is_set,
    "user_consent": lambda value: value is not None,
    "enable_registration_captcha": _is_on,
    "password_providers": _is_set,
    "oidc_providers": _is_set,
    "oidc_config": lambda value: isinstance(value, dict) and _is_on(value.get("enabled")),
    "saml2_config": _is_section,
    "cas_config": _is_section,
    "jwt_config": lambda value: isinstance(value, dict) and _is_on(value.get("enabled")),
    "experimental_features.msc3861": lambda value: isinstance(value, dict) and _is_on(value.get("enabled")),
}
"""Settings with which Synapse does not start beside us, and the values that it does not accept."""
WITHOUT_EFFECT: Final = (
    "account_threepid_delegates.msisdn",
    "registrations_require_3pid",
    "registration_requires_token",
    "allow_guest_access",
    "refreshable_access_token_lifetime",
)
"""Settings that Synapse accepts and does not use any more."""


def _settings(scene: Scene) -> Mapping[str, Any]:
    return scene.homeserver_settings or {}


@check("Does Synapse start with its settings?", where=is_beside)
async def settings_are_accepted(scene: Scene) -> Verdict:
    """Look for what it rejects beside an authentication service."""
    tree = _settings(scene)
    rejected = [path for path, is_rejected in REJECTED.items() if is_rejected(_at(tree, path))]
    if not rejected:
        return OK
    return failure(f"It does not: remove {', '.join(rejected)} from its configuration.")


@check("Do all of Synapse's settings have an effect?", where=is_beside)
async def settings_have_an_effect(scene: Scene) -> Verdict:
    """Look for what threepid does in its place."""
    idle = [path for path in WITHOUT_EFFECT if _is_set(_at(_settings(scene), path))]
    if not idle:
        return OK
    return warning(
        f"{', '.join(idle)}: Synapse does not use this beside threepid. Set it in threepid, and remove it there."
    )


@check("Does Synapse leave accounts to us?", where=is_beside)
async def accounts_are_ours(scene: Scene) -> Verdict:
    """Read the section that says so."""
    section = _at(_settings(scene), _SECTION)
    if not isinstance(section, dict) or section.get("enabled") is not True:
        return failure(f"Add {_SECTION} with `enabled: true`, `endpoint` and `secret_path` to its configuration.")
    if _is_on(section.get("force_http2")):
        return failure(f"Remove {_SECTION}.force_http2: this server speaks HTTP/1.1.")
    return OK


@check("Does Synapse have the same secret?", where=is_beside, needs=(accounts_are_ours,))
async def secrets_agree(scene: Scene) -> Verdict:
    """Compare both files, in constant time."""
    section, settings = _at(_settings(scene), _SECTION), scene.settings.homeserver
    secret, path = section.get("secret"), section.get("secret_path")
    if settings is None or bool(secret) == bool(path):
        return failure(f"Set one of {_SECTION}.secret_path and {_SECTION}.secret, and not both.")
    try:
        ours = config.read_secret(Path(settings.secret_file)).reveal()
    except ConfigError as error:
        return failure(f"homeserver.secret_file cannot be used: {error}.")
    if path:
        secret = _content(Path(str(path)))
        if secret is None:
            return warning(f"The file of {_SECTION}.secret_path cannot be read: run this as a user who can.")
    if not hmac.compare_digest(str(secret).encode("utf-8", "surrogatepass"), ours.encode()):
        return failure(f"Write the same secret into homeserver.secret_file and into {_SECTION}, and restart both.")
    return OK


def _content(path: Path) -> str | None:
    """The text of a file as Synapse reads it, or None."""
    try:
        if not path.is_file():  # reading a pipe might never end
            return None
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8").strip()
    except (OSError, ValueError):
        return None


@check("Does Synapse's endpoint lead to this server?", where=is_beside, needs=(accounts_are_ours,))
async def endpoint_leads_here(scene: Scene) -> Verdict:
    """Ask there as Synapse does. From another machine, it may see something else."""
    endpoint = str(_at(_settings(scene), f"{_SECTION}.endpoint") or "http://localhost:8080").rstrip("/")
    place = f"{_SECTION}.endpoint"
    try:
        found = await scene.get(f"{endpoint}/.well-known/openid-configuration")
    except NoAnswer as error:
        return warning(f"{place} does not answer this machine: {error}. It is where Synapse has to reach threepid.")
    if found.status != HTTPStatus.OK or not found.is_ours or found.text("issuer") != issuer(scene.base):
        return failure(
            f"{place} is not this server: write the address of server.listen, as Synapse's machine reaches it."
        )
    return OK


@check("Do Synapse's name and URL agree with ours?", where=is_beside)
async def names_and_urls_agree(scene: Scene) -> Verdict:
    """Compare `server_name` and `public_baseurl`."""
    tree, ours = _settings(scene), scene.settings.server
    name, base = tree.get("server_name"), tree.get("public_baseurl")
    if name != ours.name:
        return failure(
            f"Synapse's server_name is {quoted(str(name))}, and server.name is {ours.name}: they must be equal."
        )
    if not isinstance(base, str) or base.rstrip("/") != scene.base:
        return failure(f"Set public_baseurl in Synapse's configuration to {scene.base}/, the URL of both servers.")
    return OK


CHECKS: Final = (
    settings_are_accepted,
    settings_have_an_effect,
    accounts_are_ours,
    secrets_agree,
    endpoint_leads_here,
    names_and_urls_agree,
)
