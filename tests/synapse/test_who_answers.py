"""Every path is answered by the server that must answer it, at the one address that clients know.

The rows stand in `docs/guides/synapse.md`'s proxy, which is generated: here the real nginx asks the real servers. What Synapse says
by itself shows that it is not the one who answered.
"""

import itertools
from typing import Any

import pytest

from one_origin import V3, OneOrigin
from real_synapse import SECRET

V1 = "/_matrix/client/v1"
MSC2965 = "/_matrix/client/unstable/org.matrix.msc2965"
_numbers = itertools.count(1)

HERE: list[tuple[str, str, Any, int, int]] = [
    ("GET", "/.well-known/openid-configuration", None, 200, 404),
    ("GET", "/account/", None, 303, 404),
    ("GET", "/confirm/x", None, 404, 404),
    ("GET", "/oauth2/authorize", None, 400, 404),
    ("GET", "/static/threepid.css", None, 200, 404),
    ("GET", "/_matrix/identity/v2", None, 200, 404),
    ("GET", f"{V1}/register/m.login.registration_token/validity?token=x", None, 200, 404),
    ("GET", f"{V3}/auth/m.login.dummy/fallback/web?session=x", None, 404, 404),
    ("GET", f"{V3}/login", None, 200, 404),
    ("GET", f"{V3}/login/sso/redirect?redirectUrl=https://x.example/", None, 302, 404),
    ("GET", f"{V3}/register/available?username=nobody", None, 200, 404),
    ("POST", "/oauth2/clients/register", {}, 400, 404),
    ("POST", "/oauth2/device", {}, 400, 404),
    ("POST", "/oauth2/revoke", {}, 400, 404),
    ("POST", "/oauth2/token", {}, 400, 404),
    ("POST", f"{V1}/login/get_token", {}, 401, 404),
    ("POST", f"{V1}/refresh", {}, 400, 404),
    ("POST", f"{V3}/account/3pid", {}, 400, 404),
    ("POST", f"{V3}/account/3pid/add", {}, 400, 404),
    ("POST", f"{V3}/account/3pid/delete", {}, 400, 404),
    ("POST", f"{V3}/account/3pid/email/requestToken", {}, 400, 404),
    ("POST", f"{V3}/account/3pid/msisdn/requestToken", {}, 400, 404),
    ("POST", f"{V3}/account/deactivate", {}, 401, 404),
    ("POST", f"{V3}/account/password", {}, 400, 404),
    ("POST", f"{V3}/account/password/email/requestToken", {}, 400, 404),
    ("POST", f"{V3}/account/password/msisdn/requestToken", {}, 400, 404),
    ("POST", f"{V3}/delete_devices", {"devices": ["NONE"]}, 401, 404),
    ("DELETE", f"{V3}/devices/NONE", {}, 401, 404),
    ("POST", f"{V3}/login", {}, 400, 404),
    ("POST", f"{V3}/logout", {}, 200, 404),
    ("POST", f"{V3}/logout/all", {}, 200, 404),
    ("POST", f"{V3}/refresh", {}, 400, 404),
    ("POST", f"{V3}/register", {}, 401, 403),
    ("POST", "/_matrix/client/r0/register", {}, 401, 403),
    ("POST", f"{V3}/register/email/requestToken", {}, 400, 404),
    ("POST", f"{V3}/register/msisdn/requestToken", {}, 400, 404),
    ("POST", f"{V3}/tokenrefresh", {}, 400, 403),
]
"""Requests that threepid answers with the first status; Synapse by itself says the second."""
THERE: list[tuple[str, str, Any, int]] = [
    ("GET", "/.well-known/matrix/server", None, 200),
    ("GET", "/_matrix/client/versions", None, 200),
    ("GET", "/_matrix/federation/v1/version", None, 200),
    ("GET", "/_matrix/key/v2/server", None, 200),
    ("GET", f"{MSC2965}/auth_issuer", None, 404),
    ("GET", f"{MSC2965}/auth_metadata", None, 200),
    ("GET", f"{V1}/auth_metadata", None, 200),
    ("GET", f"{V3}/account/whoami", None, 200),
    ("GET", f"{V3}/admin/whois/USER", None, 200),
    ("GET", f"{V3}/auth/m.oauth/fallback/web?session=x", None, 302),
    ("GET", f"{V3}/auth/org.matrix.cross_signing_reset/fallback/web?session=x", None, 302),
    ("GET", f"{V3}/capabilities", None, 200),
    ("GET", f"{V3}/devices", None, 200),
    ("GET", f"{V3}/devices/FIRST", None, 200),
    ("PUT", f"{V3}/devices/FIRST", {"display_name": "First"}, 200),
    ("GET", f"{V3}/profile/USER", None, 200),
    ("GET", f"{V3}/pushrules/", None, 200),
    ("GET", f"{V3}/sync?timeout=0", None, 200),
    ("POST", f"{V3}/account/3pid/bind", {}, 400),
    ("POST", f"{V3}/account/3pid/unbind", {}, 400),
    ("POST", f"{V3}/user/USER/filter", {}, 200),
]
"""Requests that Synapse answers, with this status."""
HIDDEN = (
    ("POST", "/oauth2/introspect"),
    ("GET", "/_synapse/mas/query_user?localpart=alice"),
    ("POST", "/_synapse/mas/provision_user"),
    ("GET", "/_synapse/admin/v1/server_version"),
)
"""Requests that nobody answers outside, even with the servers' own secret."""


def _asked(origin: OneOrigin, method: str, path: str, body: Any) -> tuple[Any, Any]:
    """The answers at the common address, and of Synapse by itself, to somebody who has just registered."""
    person = origin.register(f"asking{next(_numbers)}")
    path = path.replace("USER", person.user_id)
    more = {} if body is None else {"json": body}
    there = origin.synapse.request(method, path, person.token, **more)
    return origin.request(method, path, person.token, **more), there


@pytest.mark.parametrize(("method", "path", "body", "here", "there"), HERE)
def test_threepid_answers(origin: OneOrigin, method: str, path: str, body: Any, here: int, there: int) -> None:
    ours, theirs = _asked(origin, method, path, body)
    assert (ours.status_code, theirs.status_code) == (here, there), ours.text
    assert ours.content != theirs.content


@pytest.mark.parametrize(("method", "path", "body", "status"), THERE)
def test_synapse_answers(origin: OneOrigin, method: str, path: str, body: Any, status: int) -> None:
    ours, theirs = _asked(origin, method, path, body)
    assert (ours.status_code, ours.content) == (status, theirs.content)


@pytest.mark.parametrize(("method", "path"), HIDDEN)
def test_nobody_answers(origin: OneOrigin, method: str, path: str) -> None:
    answer = origin.request(method, path, SECRET, **({"json": {"localpart": "alice"}} if method == "POST" else {}))
    assert answer.status_code == 404
    assert "errcode" not in answer.text


def test_synapse_issues_openid_tokens(origin: OneOrigin) -> None:
    """Each has another token, so that the answers differ; only Synapse's are good at its federation API."""
    person = origin.register(f"asking{next(_numbers)}")
    openid = person.do("POST", f"user/{person.user_id}/openid/request_token", {})
    path = f"/_matrix/federation/v1/openid/userinfo?access_token={openid['access_token']}"
    assert origin.synapse.request("GET", path, None).json() == {"sub": person.user_id}


def test_clients_discover_both_servers_and_the_account_pages(origin: OneOrigin) -> None:
    """threepid serves it, as Synapse would not name the identity server; older clients look for the authentication there."""
    found = origin.request("GET", "/.well-known/matrix/client", None).json()
    assert found == {
        "m.homeserver": {"base_url": origin.base},
        "m.identity_server": {"base_url": origin.base},
        "org.matrix.msc2965.authentication": {"issuer": f"{origin.base}/", "account": f"{origin.base}/account/"},
    }


def test_contacts_are_those_of_threepid(origin: OneOrigin) -> None:
    """Synapse has no phone numbers, and the times of its copy are those of the last call."""
    person = origin.register(f"asking{next(_numbers)}")
    phone, secret = "447700900456", "the_secret"
    asked = person.do(
        "POST",
        "account/3pid/msisdn/requestToken",
        {"client_secret": secret, "country": "GB", "phone_number": f"+{phone}", "send_attempt": 1},
    )
    session = {"sid": asked["sid"], "client_secret": secret}
    submitted = origin.request(
        "POST", asked["submit_url"].removeprefix(origin.base), None, json={**session, "token": origin.code(phone)}
    )
    assert submitted.json() == {"success": True}
    person.do("POST", "account/3pid/add", {**session, "auth": origin.password_auth(person)})
    assert [one["address"] for one in person.do("GET", "account/3pid")["threepids"]] == [phone]
    theirs = origin.synapse.request("GET", f"{V3}/account/3pid", person.token).json()
    assert theirs == {"threepids": []}
