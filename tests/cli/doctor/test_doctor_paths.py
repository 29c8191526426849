"""Which server answers which path behind the public URL."""

from typing import Any

import pytest

from examined import Examined
from fake_synapse import HANG
from threepid.api.endpoints import served
from threepid.cli.doctor.check import OK, State
from threepid.cli.doctor.checks import paths
from world import settings

LOGIN = "/_matrix/client/v3/login"
SYNC = "/_matrix/client/v3/sync"


@pytest.mark.parametrize("binds", ["homeserver", "threepid"])
def test_every_declared_path_is_asked(place: Examined, binds: str) -> None:
    place.changes["homeserver"]["binds"] = binds
    found = place.scene().settings
    here, there = (paths.asked(found, here=side) for side in (True, False))
    assert len({*here, *there}) == len(here) + len(there)
    named = {one.path for one in (*here, *there)}
    declared = {path.template for endpoint in served(found) for path in endpoint.paths if "{" not in path.template}
    assert declared - named == {"/oauth2/introspect", "/.well-known/matrix/client", "/.well-known/matrix/server"}
    bind = paths.Asked("POST", "/_matrix/client/v3/account/3pid/bind")
    assert (bind in here) is (binds == "threepid")
    assert paths.Asked("GET", "/_matrix/client/v3/capabilities") in there
    assert paths.Asked("GET", "/_matrix/client/versions") in there


@pytest.mark.parametrize("role", ["accounts", "identity"])
def test_alone_everything_comes_here(place: Examined, role: str) -> None:
    alone = settings(place.directory, **{"identity" if role == "accounts" else "accounts": None})
    assert paths.asked(alone, here=False) == []
    assert len(paths.asked(alone, here=True)) > 20


def test_requests_that_come_here_are_in_order_and_harmless(place: Examined) -> None:
    place.changes["admin__networks"] = ["127.0.0.0/8"]
    assert place.ask(paths.ours_come_here) == OK
    for called in place.public.calls:
        assert "authorization" not in called.headers
        assert called.method in ("GET", "OPTIONS") or called.raw == b"["
        assert called.method == "OPTIONS" or not called.name.startswith("/_threepid/admin/"), "guesses are counted"


def test_a_forgotten_path_is_named(place: Examined) -> None:
    for path in (LOGIN, "/_matrix/client/v3/refresh"):
        place.public.replies[path] = (404, {"errcode": "M_UNRECOGNIZED"})
    place.public.headers = {}
    found = place.ask(paths.ours_come_here)
    assert found.state is State.FAILURE
    assert "other requests do not come here" in found.change
    assert "threepid proxy" in found.change


def test_a_path_of_the_homeserver_that_comes_here_is_named(place: Examined) -> None:
    place.public.headers = {}
    assert place.ask(paths.others_go_there) == OK
    place.public.headers = {"X-Answered-By": "threepid"}
    found = place.ask(paths.others_go_there)
    assert "GET /_matrix/client/versions" in found.change


def test_a_proxy_that_does_not_reach_the_homeserver_is_told(place: Examined) -> None:
    place.public.headers = {}
    place.public.replies[SYNC] = (502, b"<html>")
    found = place.ask(paths.others_go_there)
    assert found.change.startswith(f"GET {SYNC} does not go to the homeserver.")


def test_a_proxy_that_hangs_is_asked_a_few_times_only(place: Examined) -> None:
    place.seconds = 0.3
    place.public.headers = {}
    every = {one.path: HANG for one in paths.asked(place.scene().settings, here=False)}
    place.public.replies = dict(every)
    assert place.ask(paths.others_go_there).state is State.FAILURE
    assert len(place.public.calls) <= 16


@pytest.mark.parametrize(
    ("name", "reply"),
    [("query_user", (401, {"errcode": "M_MISSING_TOKEN"})), ("query_user", (403, {"errcode": "M_UNKNOWN"}))],
)
def test_an_interface_that_the_proxy_does_not_hide_is_told(place: Examined, name: str, reply: Any) -> None:
    place.public.headers = {}
    place.public.replies = {name: reply}
    found = place.ask(paths.internals_are_hidden)
    assert found.state is State.WARNING
    assert "/_synapse/mas/query_user" in found.change


def test_hidden_interfaces_are_in_order(place: Examined) -> None:
    place.public.headers = {}
    place.public.replies = {"query_user": (404, b"<html>"), "/oauth2/introspect": (404, b"<html>")}
    assert place.ask(paths.internals_are_hidden) == OK
    place.public.headers = {"X-Answered-By": "threepid"}
    assert "/oauth2/introspect" in place.ask(paths.internals_are_hidden).change
