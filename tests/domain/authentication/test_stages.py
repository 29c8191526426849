"""What is stored of authentication under way: it outlives an upgrade."""

import pytest

from threepid.api.endpoints import ALL
from threepid.domain.authentication.stages import (
    Proof,
    StageResult,
    Task,
    completed_from,
    completed_text,
)
from threepid.spec.uia import Operation

PROOF = Proof("sid", "email", "alice@example.com", "Alice@example.com", 5)
OF_BEFORE = (
    '{"m.login.email.identity": {"sid": "sid", "medium": "email", "canonical": "alice@example.com", '
    '"address": "Alice@example.com", "validated_at": 5}, "m.login.terms": {"terms": [["privacy", "1.0"]]}, '
    '"m.login.registration_token": {"registration_token": "hash"}, "m.login.dummy": {}}'
)
RESULTS = {
    "m.login.email.identity": StageResult(proof=PROOF),
    "m.login.terms": StageResult(terms=(("privacy", "1.0"),)),
    "m.login.registration_token": StageResult(registration_token="hash"),
    "m.login.dummy": StageResult(),
}


@pytest.mark.parametrize(
    "task", [Task(Operation.REGISTER), *(Task(Operation.DELETE_DEVICE, about) for about in ["A ", "A ", " ", "[", ""])]
)
def test_a_task_is_read_as_it_was_stored(task: Task) -> None:
    assert Task.from_text(task.text) == task


def test_a_device_with_a_blank_is_another_task() -> None:
    assert Task(Operation.DELETE_DEVICE, "A").text != Task(Operation.DELETE_DEVICE, "A ").text


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("register", Task(Operation.REGISTER)),
        ("delete_device DEV", Task(Operation.DELETE_DEVICE, "DEV")),
        ("delete_device DEV ", Task(Operation.DELETE_DEVICE, "DEV ")),
    ],
)
def test_a_task_of_an_earlier_version_is_read(text: str, task: Task) -> None:
    assert Task.from_text(text) == task


def test_results_are_read_as_they_were_stored_and_as_earlier_versions_stored_them() -> None:
    assert completed_from(completed_text(RESULTS)) == completed_from(OF_BEFORE) == RESULTS
    assert list(completed_from(completed_text(RESULTS))) == list(RESULTS)


def test_the_names_of_operations_stay() -> None:
    assert {operation.value for operation in Operation} == {
        "register",
        "change_password",
        "deactivate",
        "add_threepid",
        "delete_device",
        "delete_devices",
        "get_login_token",
    }


def test_each_operation_is_declared_by_one_endpoint() -> None:
    declared = [endpoint.uia for endpoint in ALL if endpoint.uia is not None]
    assert sorted(declared) == sorted(Operation)
