"""Names of rows: by their time, and nobody can guess them."""

import os

import pytest

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


def test_a_forked_process_draws_bytes_of_its_own() -> None:
    entropy = Entropy()
    entropy.bytes(1)  # from here on, bytes wait to be used
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, b"".join(entropy.bytes(16) for _ in range(100)))
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        theirs = pipe.read()
    os.waitpid(child, 0)
    ours = {entropy.bytes(16) for _ in range(100)}
    assert len(theirs) == 1_600
    assert not ours & {theirs[start : start + 16] for start in range(0, len(theirs), 16)}


@pytest.mark.parametrize("count", [0, 1, 32, 33, 5_000])
def test_each_call_gives_as_many_bytes_as_wanted_and_others(count: int) -> None:
    drawn = [Entropy().bytes(count) for _ in range(200)]
    assert {len(one) for one in drawn} == {count}
    assert len(set(drawn)) == (1 if count == 0 else 200) or count == 1
