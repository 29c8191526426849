"""Names of rows: by their time, and nobody can guess them."""

from threepid.clock import Entropy


def test_ids_of_one_time_stand_together_and_differ() -> None:
    entropy = Entropy()
    now = 1_700_000_000_000
    ids = {entropy.id(now) for _ in range(1_000)}
    assert len(ids) == 1_000
    assert {len(one) for one in ids} == {24}
    assert len({one[:8] for one in ids}) == 1
    assert len({one[8:12] for one in ids}) > 990
    assert entropy.id(now + 1)[:7] == next(iter(ids))[:7]
    assert entropy.id(now + 10**9)[:5] != next(iter(ids))[:5]
    assert entropy.id(2**48 - 1).startswith("________")
