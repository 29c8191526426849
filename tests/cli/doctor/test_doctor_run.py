"""How the questions are asked: what depends on what, and in what time."""

import asyncio

from examined import Examined
from fake_synapse import HANG
from threepid.cli.doctor.check import OK, Check, Finding, State, Verdict, check, failure
from threepid.cli.doctor.checks import CHECKS, OF_FILES
from threepid.cli.doctor.run import examine
from threepid.cli.doctor.scene import NoAnswer, Scene


@check("Is the first in order?")
async def first(scene: Scene) -> Verdict:
    return failure("Mend it.")


@check("Is the second in order?", needs=(first,))
async def second(scene: Scene) -> Verdict:
    raise AssertionError("it is asked although the first has failed")


@check("Is the third in order?", where=lambda settings: settings.homeserver is None)
async def third(scene: Scene) -> Verdict:
    raise AssertionError("it is asked although the question does not arise")


@check("Is the fourth in order?", needs=(third,))
async def fourth(scene: Scene) -> Verdict:
    return OK


@check("Does the fifth end?")
async def fifth(scene: Scene) -> Verdict:
    await asyncio.Event().wait()
    return OK


@check("Does the sixth answer?")
async def sixth(scene: Scene) -> Verdict:
    raise NoAnswer("the connection broke off")


def run(place: Examined, *checks: Check) -> list[Finding]:
    return asyncio.run(examine(place.scene(), checks))


def test_what_depends_on_a_failure_is_not_asked(place: Examined) -> None:
    place.seconds = 0.2
    found = {one.check: one for one in run(place, first, second, third, fourth, fifth, sixth)}
    assert [*found] == ["first", "second", "fourth", "fifth", "sixth"]
    assert found["second"] == Finding(
        "second", "Is the second in order?", State.NOT_ASKED, "First this: Is the first in order?"
    )
    assert found["fourth"].state is State.OK
    assert found["fifth"].change == "There was no answer within 0.4 seconds."
    assert found["sixth"].change == "There was no answer: the connection broke off."


def test_a_homeserver_that_hangs_makes_findings(place: Examined) -> None:
    place.seconds = 0.3
    place.synapse.replies = {"/_matrix/client/versions": HANG, "query_user": HANG}
    place.public.replies = {"/_threepid/health/live": (200, {})}
    found = {one.check: one.state for one in run(place, *CHECKS)}
    assert found["homeserver_answers"] is State.FAILURE
    assert found["our_secret_is_accepted"] is State.NOT_ASKED
    assert found["homeserver_clock_agrees"] is State.FAILURE


def test_every_check_is_declared_after_what_it_needs() -> None:
    seen: set[str] = set()
    for one in (*CHECKS, *OF_FILES):
        assert {needed.name for needed in one.needs} <= seen, one.name
        assert one.question.endswith("?")
        assert one.name not in seen
        seen.add(one.name)
