"""The faults that were found in other identity servers, each with the test that fails if we have it too.

Faults of Sydent:

* every repeated request sends another mail: `tests/attacks/test_A06_send_attempt.py::test_six_attempts_of_which_three_are_new_send_three_mails`
* guesses without end: `tests/attacks/test_A03_guessing_the_code.py::test_after_five_wrong_codes_the_right_one_is_refused`,
  `tests/attacks/test_A03_guessing_the_code.py::test_wrong_codes_are_capped_for_an_address_over_all_its_sessions`
* a wrong token of a mail is answered with 200: `tests/api/test_identity_v1.py::test_every_state_of_a_session_has_its_status_and_errcode`
* a wrong code of a text is answered like an unknown session: `test_a_wrong_code_of_a_text_is_called_wrong`
* GET submitToken for phones fails with 500: `tests/api/test_identity_v1.py::test_a_get_submits_and_shows_a_page`
* a GET of the mailed link validates, and so does a mail scanner: `tests/attacks/test_A02_validated_by_a_prefetch.py::test_opening_the_link_changes_nothing_and_the_button_validates`
* people are sent on to any place: `tests/web/test_next_link.py::test_anything_else_than_a_listed_place_is_only_shown`,
  `tests/api/test_identity_v1.py::test_a_get_sends_people_on_to_listed_places_only`
* mailed links are dead where v1 is off: `test_mailed_links_do_not_need_the_old_api`
* a limit is answered with M_UNKNOWN and without a time: `test_a_limit_has_its_own_errcode_and_says_how_long_to_wait`
* limits are forgotten at a restart: `tests/attacks/test_A10_mail_bombing.py::test_the_budget_is_spent_in_every_process_and_after_a_restart`
* a relay that is down fails the request, and a slow one stops the server: `tests/faults/test_F07_relay_down_slow_or_refusing.py::test_asking_for_a_code_does_not_wait_for_the_relay`,
  `tests/faults/test_F07_relay_down_slow_or_refusing.py::test_nobody_listening_means_a_later_mail`
* secrets are matched by patterns that are not anchored: `tests/attacks/test_A05_probing_sessions.py::test_a_client_secret_is_matched_whole`
* secrets are compared by a bare `==`: `test_secrets_are_compared_in_constant_time`, which is able to fail:
  `test_a_bare_comparison_would_be_noticed`
* codes and tokens are kept in the clear: `tests/attacks/test_A39_plaintext_where_it_should_not_be.py::test_no_secret_is_kept_in_the_clear`
* secrets get into the log: `tests/test_docs.py::test_a_server_process_writes_no_secret_into_its_log`
* unbind hangs for ever on a session that is not validated: `tests/attacks/test_A52_unbind_forgery.py::test_other_sessions_prove_nothing`
* unbind fails with 500 on a session that has expired: `test_an_expired_session_unbinds_nothing_and_is_told_so`
* an association is good for a hundred years: `test_what_is_bound_is_found_by_its_hash_and_for_a_year`
* v1 binds for any user without a token: `tests/http/test_asgi.py::test_v1_is_off_but_for_the_public_keys`
* a write that touches no row goes unnoticed: `tests/storage/engine/test_database.py::test_a_write_that_touches_another_number_of_rows_is_undone`
* the pepper is short and never replaced: `tests/domain/identity/test_lookup.py::test_a_pepper_has_128_random_bits_or_more_of_letters_and_digits`,
  `tests/domain/identity/test_lookup.py::test_the_schedule_replaces_the_pepper`
* lookups without a limit: `tests/domain/identity/test_lookup.py::test_a_user_may_ask_for_so_many_distinct_addresses_a_day`
* only one key, `ed25519:0`: `tests/attacks/test_A59_signing_keys.py::test_after_a_rotation_old_signatures_can_be_checked_and_the_old_key_is_not_valid`
* a phone cannot be invited: `tests/flows/test_invite.py::test_a_phone_is_invited_by_a_text_without_links`
* invitations never end: `tests/flows/test_invite.py::test_an_invitation_ends_after_its_days_and_is_forgotten`
* a homeserver that was down is never told, or for ever: `tests/flows/test_invite.py::test_what_is_not_a_yes_is_asked_again_ever_more_rarely`,
  `tests/flows/test_invite.py::test_after_seven_days_nobody_is_asked_until_the_address_is_bound_again`

Faults of ma1sd:

* the number of a try is counted instead of kept: `test_the_number_of_a_try_is_kept_and_not_counted`
* session ids are the time of day: `tests/attacks/test_A04_weak_or_predictable_tokens.py::test_sessions_and_tokens_of_the_api_are_not_short`
* v1 takes no forms: `tests/api/test_identity_v1.py::test_parameters_come_as_json_as_a_form_or_in_the_query`
* there is no `versions`, and logout is a GET: `test_logging_out_is_a_post`, `test_the_versions_are_told`
* what is bound is not kept: `test_what_is_bound_is_found_by_its_hash_and_for_a_year`
* unbind says yes and removes nothing: `tests/attacks/test_A52_unbind_forgery.py::test_who_proves_the_address_unbinds_it_from_whoever_has_it`
* a signature is checked over the path of v1 whatever was called: `tests/attacks/test_A52_unbind_forgery.py::test_a_signature_of_anything_else_is_refused`,
  `tests/api/test_identity_v1.py::test_synapse_unbinds_by_a_signature_over_the_path_that_it_called`
* answers to lookups in the clear are turned round: `tests/api/test_hashed_lookup.py::test_in_the_clear_answers_name_what_was_asked_for`
* hash_details has no pepper: `test_there_is_a_pepper_before_anybody_has_bound_anything`
* the first lookups after a new pepper find nothing: `tests/domain/identity/test_lookup.py::test_a_rotation_is_complete_before_clients_are_told_and_both_answer_for_a_while`
* acceptances are signed by the server's key: `tests/flows/test_invite.py::test_the_mails_key_signs_the_acceptance_and_the_room_can_check_it`

Of both, and of servers that keep sessions in memory: `test_a_session_outlives_the_process_that_opened_it`.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import threepid
from threepid.clock import DAY
from threepid.spec.lookup_hash import lookup_hash
from world import World

V2 = "/_matrix/identity/v2"
ALICE = "@alice:example.org"
ROOT = Path(__file__).parent.parent
SOURCE = Path(threepid.__file__).parent


def test_every_named_test_is_there_and_every_test_here_is_named() -> None:
    named = re.findall(r"`(?:(tests/[\w/]+\.py)::)?(test_\w+)`", __doc__)
    assert len(named) >= 45
    for path, name in named:
        file = ROOT / path if path else Path(__file__)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (path, name)
    own = {name for path, name in named if not path}
    here = {name for name, value in globals().items() if name.startswith("test_") and callable(value)}
    assert own == here - {test_every_named_test_is_there_and_every_test_here_is_named.__name__}


# -- messages and codes


def test_the_number_of_a_try_is_kept_and_not_counted(world: World) -> None:
    identity = world.identity_token(world.register())
    sent = []
    for attempt in (10, 2, 3, 9, 10, 11, 4, 11):
        before = len(world.mails())
        world.request_token(identity, attempt=attempt)
        sent.append((attempt, len(world.mails()) - before))
    assert [attempt for attempt, mails in sent if mails] == [10, 11]


def test_a_wrong_code_of_a_text_is_called_wrong(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, sms__countries=["GB"]) as world:
        identity = world.identity_token(world.register())
        body = {"client_secret": "secret", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}
        sid = world.post(f"{V2}/validate/msisdn/requestToken", body, token=identity).json()["sid"]
        wrong = str((int(world.text().code) + 1) % 1_000_000).rjust(6, "0")
        submit = {"sid": sid, "client_secret": "secret", "token": wrong}
        answer = world.post(f"{V2}/validate/msisdn/submitToken", submit, token=identity)
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_TOKEN_INCORRECT")
        submit["token"] = world.text().code
        assert world.post(f"{V2}/validate/msisdn/submitToken", submit, token=identity).json() == {"success": True}


def test_a_limit_has_its_own_errcode_and_says_how_long_to_wait(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits={"message_to_address": {"burst": 1, "per_hour": 1}}) as world:
        identity = world.identity_token(world.register())
        world.request_token(identity)
        body = {"client_secret": "secret", "email": "alice@example.com", "send_attempt": 2}
        answer = world.post(f"{V2}/validate/email/requestToken", body, token=identity)
        assert (answer.status_code, answer.json()["errcode"]) == (429, "M_LIMIT_EXCEEDED")
        wait = answer.json()["retry_after_ms"]
        assert int(answer.headers["Retry-After"]) == -(-wait // 1000)
        world.clock.advance(wait)
        assert world.post(f"{V2}/validate/email/requestToken", body, token=identity).status_code == 200


def test_mailed_links_do_not_need_the_old_api(database_url: str, tmp_path: Path) -> None:
    """Sydent asks for v1 to be off where only some homeservers may register, and then its links answer 404."""
    off = dict.fromkeys(("public_keys", "validate", "lookup", "bind"), False)
    with World(database_url, tmp_path, identity__v1=off, identity__homeservers_allowed=["example.org"]) as world:
        identity = world.identity_token(world.register())
        sid = world.request_token(identity)
        link = world.mail().link
        assert world.get(link).status_code == 200
        assert world.post(link).status_code == 200
        checked = world.get(f"{V2}/3pid/getValidated3pid?sid={sid}&client_secret=secret", token=identity)
        assert checked.json()["address"] == "alice@example.com"


def test_a_session_outlives_the_process_that_opened_it(world: World) -> None:
    identity = world.identity_token(world.register())
    sid = world.request_token(identity)
    code = world.mail().code
    with world.again() as restarted:
        submit = {"sid": sid, "client_secret": "secret", "token": code}
        assert restarted.post(f"{V2}/validate/email/submitToken", submit, token=identity).json() == {"success": True}
    body = {"sid": sid, "client_secret": "secret", "mxid": ALICE}
    assert world.post(f"{V2}/3pid/bind", body, token=identity).status_code == 200


# -- what is bound


def test_what_is_bound_is_found_by_its_hash_and_for_a_year(world: World) -> None:
    identity = world.identity_token(world.register())
    pepper = world.get(f"{V2}/hash_details", token=identity).json()["lookup_pepper"]
    hashed = lookup_hash("alice@example.com", "email", pepper)

    def found(asked: World) -> Any:
        body = {"algorithm": "sha256", "pepper": pepper, "addresses": [hashed]}
        return asked.post(f"{V2}/lookup", body, token=identity).json()["mappings"]

    body = {"sid": world.validated(identity), "client_secret": "secret", "mxid": ALICE}
    assert found(world) == {}
    association = world.post(f"{V2}/3pid/bind", body, token=identity).json()
    assert found(world) == {hashed: ALICE}
    with world.again() as restarted:
        assert found(restarted) == {hashed: ALICE}
    assert association["not_after"] - association["not_before"] == 365 * DAY


def test_an_expired_session_unbinds_nothing_and_is_told_so(world: World) -> None:
    identity = world.identity_token(world.register())
    body = {"sid": world.validated(identity), "client_secret": "secret", "mxid": ALICE}
    assert world.post(f"{V2}/3pid/bind", body, token=identity).status_code == 200
    world.clock.advance(1)
    sid = world.validated(identity, secret="again")
    world.clock.advance(DAY)
    unbind = {
        "mxid": ALICE,
        "threepid": {"medium": "email", "address": "alice@example.com"},
        "sid": sid,
        "client_secret": "again",
    }
    answer = world.post(f"{V2}/3pid/unbind", unbind)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_SESSION_EXPIRED")


@pytest.mark.parametrize("algorithms", [["sha256"], ["none"], ["sha256", "none"]])
def test_there_is_a_pepper_before_anybody_has_bound_anything(
    database_url: str, tmp_path: Path, algorithms: list[str]
) -> None:
    with World(database_url, tmp_path, identity__lookup_algorithms=algorithms) as world:
        details = world.get(f"{V2}/hash_details", token=world.identity_token(world.register())).json()
        assert details["algorithms"] == algorithms
        assert len(details["lookup_pepper"]) >= 22


# -- the rest


def test_the_versions_are_told(world: World) -> None:
    versions = world.get("/_matrix/identity/versions").json()["versions"]
    assert {"r0.3.0", "v1.1", "v1.18"} <= set(versions)


def test_logging_out_is_a_post(world: World) -> None:
    identity = world.identity_token(world.register())
    assert world.get(f"{V2}/account/logout", token=identity).status_code == 405
    assert world.get(f"{V2}/account", token=identity).status_code == 200
    assert world.post(f"{V2}/account/logout", token=identity).json() == {}
    assert world.get(f"{V2}/account", token=identity).status_code == 401


SECRET = re.compile(r"(?:secret|hash|seal|signature|(?<!err)code|(?<!next_)link|token)\Z")


def test_secrets_are_compared_in_constant_time() -> None:
    found = set()
    for room in ("domain", "http", "web", "api"):
        for file in (SOURCE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops):
                    sides = (node.left, *node.comparators)
                    names = [getattr(side, "attr", getattr(side, "id", "")) for side in sides]
                    if any(SECRET.search(name) for name in names):
                        found.add(ast.unparse(node))
    assert found == set()
    assert re.search(r"compare_digest\(", (SOURCE / "domain" / "secrets" / "vault.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", ["if token == known.token_hash: ...", "if session.secret != given: ..."])
def test_a_bare_comparison_would_be_noticed(line: str) -> None:
    (node,) = (node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Compare))
    assert SECRET.search(getattr(node.left, "attr", getattr(node.left, "id", "")))
