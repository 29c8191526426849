"""Asks all questions of a configuration at the same time, but those that depend on another one after it."""

import asyncio
from collections.abc import Iterable

from threepid.cli.doctor.check import Check, Finding, State, Verdict, failure, not_asked
from threepid.cli.doctor.scene import NoAnswer, Scene


async def examine(scene: Scene, checks: Iterable[Check]) -> list[Finding]:
    """The findings, in the order of the checks."""
    asked = [check for check in checks if check.where(scene.settings)]
    verdicts: dict[str, asyncio.Task[Verdict]] = {}

    async def verdict(check: Check) -> Verdict:
        for needed in check.needs:
            if needed.name not in verdicts:
                continue
            if (await verdicts[needed.name]).state in (State.FAILURE, State.NOT_ASKED):
                return not_asked(f"First this: {needed.question}")
        try:
            async with asyncio.timeout(check.patience * scene.seconds):
                return await check.ask(scene)
        except TimeoutError:
            return failure(f"There was no answer within {check.patience * scene.seconds:g} seconds.")
        except NoAnswer as error:
            return failure(f"There was no answer: {error}.")

    # What a check needs is declared before it, so that its task is there.
    for check in asked:
        verdicts[check.name] = asyncio.ensure_future(verdict(check))
    await asyncio.gather(*verdicts.values())
    return [
        Finding(check.name, check.question, found.state, found.change)
        for check in asked
        for found in (verdicts[check.name].result(),)
    ]
