"""A scene that `threepid doctor` examines: a public URL and a Synapse, both of them fakes that say what the test wants."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fake_synapse import FakeSynapse, fake_synapse
from threepid.cli.doctor.check import Check, State, Verdict
from threepid.cli.doctor.scene import NoAnswer, Scene
from threepid.clock import Clock, Entropy
from world import settings

OURS = {"X-Answered-By": "threepid"}


class Examined:
    """`public` answers as threepid unless its `headers` are changed; `synapse` is beside it."""

    def __init__(self, directory: Path, public: FakeSynapse, synapse: FakeSynapse) -> None:
        self.directory = directory
        self.public = public
        self.synapse = synapse
        self.base = f"http://localhost:{public.port}"
        self.changes: dict[str, Any] = {**synapse.settings(directory), "server__public_base_url": self.base}
        self.seconds = 5.0

    def scene(self, theirs: Mapping[str, Any] | None = None) -> Scene:
        return Scene(
            settings(self.directory, **self.changes),
            clock=Clock(),
            entropy=Entropy(),
            seconds=self.seconds,
            homeserver_settings=theirs,
        )

    def ask(self, check: Check, theirs: Mapping[str, Any] | None = None) -> Verdict:
        async def verdict() -> Verdict:
            try:
                return await check.ask(self.scene(theirs))
            except NoAnswer as error:
                return Verdict(State.FAILURE, str(error))

        return asyncio.run(verdict())


@contextlib.contextmanager
def examined(directory: Path) -> Iterator[Examined]:
    with fake_synapse() as public, fake_synapse() as synapse:
        public.headers = dict(OURS)
        yield Examined(directory, public, synapse)
