"""The longest that anything waits for another server. Tests of the waiting itself give shorter limits."""

from threepid.remote.patience import PATIENCE


def test_a_caller_waits_five_seconds_for_an_unbinding_and_twenty_for_anything_else() -> None:
    assert PATIENCE.unbind == 5
    assert max(PATIENCE.call, PATIENCE.federation) == 20


def test_what_is_a_part_of_a_call_ends_before_it() -> None:
    assert max(PATIENCE.dns, PATIENCE.connect) < PATIENCE.call
    assert max(PATIENCE.srv, PATIENCE.well_known, PATIENCE.call) < PATIENCE.federation
