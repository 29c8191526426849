"""The outbox as operators see and change it."""

from functools import partial

import pytest

from threepid.clock import MINUTE
from threepid.domain.queue import State, state
from threepid.spec.errors import Forbidden, NotFound
from threepid.storage import outbox
from threepid.storage.engine.database import Tx
from world import World, unnoted


@pytest.fixture
def job(world: World) -> str:
    """The ID of a mail that waits."""
    world.request_token(world.identity_token(world.register()))
    (found,) = world.run(world.server.services.queue.jobs(failed=False))
    return found.id


def delay(world: World) -> None:
    """A worker could not send the mail and plans another attempt in an hour."""

    def step(tx: Tx) -> None:
        now = world.clock.now()
        waiting = outbox.in_line(tx, now=now, count=10)
        (claimed,) = outbox.claim(tx, [one.id for one in waiting], worker="w", now=now)
        outbox.retry_later(tx, claimed, now=now, due_at=now + 30 * MINUTE, last_error="the relay hung up")

    world.run(world.database.write(step))


def test_a_job_waits_is_retried_and_is_sent(world: World, job: str) -> None:
    queue = world.server.services.queue
    assert state(world.run(queue.get(job))) is State.WAITING
    delay(world)
    found = world.run(queue.get(job))
    assert (state(found), found.last_error) == (State.RETRYING, "the relay hung up")
    assert world.mails() == []
    world.run(queue.retry(job, note=unnoted))
    assert len(world.mails()) == 1
    assert state(world.run(queue.get(job))) is State.SENT
    assert world.run(queue.jobs(failed=False)) == []


def test_all_that_wait_are_tried_at_once(world: World, job: str) -> None:
    delay(world)
    assert world.run(world.server.services.queue.retry_all(note=unnoted)) == 1
    assert world.run(world.server.services.queue.retry_all(note=unnoted)) == 0
    assert job
    assert len(world.mails()) == 1


def test_very_many_jobs_are_listed_in_one_read(world: World, job: str) -> None:
    """Each read sorts all jobs that wait: page by page, a list of a hundred thousand would sort them two hundred times."""
    now = world.clock.now()

    def fill(tx: Tx) -> None:
        for number in range(1_200):
            outbox.insert(
                tx, job_id=f"job{number:04}", channel="email", recipient=f"u{number}@example.com", language="", template="x",
                params="", created_at=now + 1 + number // 7, due_at=now + MINUTE, expires_at=now + 30 * MINUTE,
            )  # fmt: skip

    world.run(world.database.write(fill))
    before = world.database.inside.reads
    found = world.run(world.server.services.queue.jobs(failed=False))
    assert world.database.inside.reads == before + 1
    assert [one.id for one in found] == [job, *(f"job{number:04}" for number in range(1_200))]


def test_a_dropped_job_is_never_sent_and_its_contents_are_gone(world: World, job: str) -> None:
    queue = world.server.services.queue
    world.run(queue.drop(job, note=unnoted))
    assert world.mails() == []
    (failed,) = world.run(queue.jobs(failed=True))
    assert (failed.id, failed.last_error) == (job, "dropped by an operator")
    with pytest.raises(Forbidden, match="failed for good"):
        world.run(queue.drop(job, note=unnoted))
    with pytest.raises(Forbidden, match="asked for again"):
        world.run(queue.retry(job, note=unnoted))


def test_what_is_not_there_is_said(world: World) -> None:
    queue = world.server.services.queue
    for work in (queue.get, partial(queue.drop, note=unnoted), partial(queue.retry, note=unnoted)):
        with pytest.raises(NotFound):
            world.run(work("nothing"))
