"""What Synapse's own configuration says."""

from pathlib import Path
from typing import Any

import pytest

from examined import Examined
from fake_synapse import SECRET
from threepid.cli.doctor.check import OK, State
from threepid.cli.doctor.checks import synapse_settings

METADATA = "/.well-known/openid-configuration"


def theirs(place: Examined, **section: Any) -> dict[str, Any]:
    return {
        "server_name": "example.org",
        "public_baseurl": f"{place.base}/",
        "matrix_authentication_service": {"enabled": True, "endpoint": place.base, "secret": SECRET, **section},
    }


def nested(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


REJECTED = [
    ("enable_registration", True),
    ("enable_registration", "yes"),
    ("password_config.enabled", True),
    ("password_config.enabled", "only_for_reauth"),
    ("enable_3pid_changes", True),
    ("login_via_existing_session.enabled", True),
    ("refresh_token_lifetime", "30d"),
    ("session_lifetime", 1000),
    ("nonrefreshable_access_token_lifetime", "1h"),
    ("user_consent", {"version": "1"}),
    ("enable_registration_captcha", True),
    ("password_providers", [{"module": "x"}]),
    ("oidc_providers", [{"idp_id": "x"}]),
    ("saml2_config", {"sp_config": {}}),
    ("cas_config", {"server_url": "https://cas.example"}),
    ("jwt_config", {"enabled": True}),
    ("experimental_features.msc3861", {"enabled": True}),
]


def test_settings_that_agree_are_in_order(place: Examined) -> None:
    place.public.replies[METADATA] = (200, {"issuer": f"{place.base}/"})
    for check in synapse_settings.CHECKS:
        assert place.ask(check, theirs(place)) == OK, check.name


@pytest.mark.parametrize(("path", "value"), REJECTED)
def test_each_setting_that_synapse_rejects_is_named(place: Examined, path: str, value: Any) -> None:
    found = place.ask(synapse_settings.settings_are_accepted, {**theirs(place), **nested(path, value)})
    assert (found.state, path in found.change) == (State.FAILURE, True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("enable_registration", False),
        ("password_config.enabled", False),
        ("password_config", None),
        ("oidc_providers", []),
        ("cas_config", {"enabled": False}),
        ("user_consent", None),
        ("refresh_token_lifetime", None),
    ],
)
def test_a_setting_that_is_off_is_in_order(place: Examined, path: str, value: Any) -> None:
    assert place.ask(synapse_settings.settings_are_accepted, {**theirs(place), **nested(path, value)}) == OK


@pytest.mark.parametrize("path", synapse_settings.WITHOUT_EFFECT)
def test_a_setting_without_effect_is_a_warning(place: Examined, path: str) -> None:
    found = place.ask(synapse_settings.settings_have_an_effect, {**theirs(place), **nested(path, "x")})
    assert (found.state, path in found.change) == (State.WARNING, True)


@pytest.mark.parametrize(
    ("check", "section", "state", "change"),
    [
        (synapse_settings.accounts_are_ours, {"enabled": False}, State.FAILURE, "enabled: true"),
        (synapse_settings.accounts_are_ours, {"force_http2": True}, State.FAILURE, "force_http2"),
        (synapse_settings.secrets_agree, {"secret": "another-secret"}, State.FAILURE, "the same secret"),
        (synapse_settings.secrets_agree, {"secret": None}, State.FAILURE, "Set one of"),
        (synapse_settings.secrets_agree, {"secret_path": "/x"}, State.FAILURE, "not both"),
        (
            synapse_settings.secrets_agree,
            {"secret": None, "secret_path": "/another-secret"},
            State.WARNING,
            "cannot be read",
        ),
        (
            synapse_settings.endpoint_leads_here,
            {"endpoint": "http://u:another-secret@127.0.0.1:1/"},
            State.WARNING,
            "endpoint",
        ),
        (synapse_settings.endpoint_leads_here, {"endpoint": "nonsense"}, State.WARNING, "endpoint"),
    ],
)
def test_a_section_that_does_not_fit_is_told(
    place: Examined, check: Any, section: dict[str, Any], state: State, change: str
) -> None:
    found = place.ask(check, theirs(place, **section))
    assert found.state is state
    assert change in found.change
    assert "another-secret" not in found.change
    assert SECRET not in found.change


def test_the_secret_may_stand_in_a_file(place: Examined, tmp_path: Path) -> None:
    file = tmp_path / "theirs"
    file.write_text(f"{SECRET}\n")
    assert place.ask(synapse_settings.secrets_agree, theirs(place, secret=None, secret_path=str(file))) == OK


def test_an_endpoint_that_is_another_server_is_told(place: Examined) -> None:
    place.public.replies[METADATA] = (200, {"issuer": "https://other.example/"})
    assert place.ask(synapse_settings.endpoint_leads_here, theirs(place)).state is State.FAILURE


@pytest.mark.parametrize(
    "changes", [{"server_name": "example.com"}, {"public_baseurl": None}, {"public_baseurl": "https://x"}]
)
def test_a_name_or_url_that_disagrees_is_told(place: Examined, changes: dict[str, Any]) -> None:
    assert place.ask(synapse_settings.names_and_urls_agree, {**theirs(place), **changes}).state is State.FAILURE
