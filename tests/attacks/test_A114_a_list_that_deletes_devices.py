"""A114: whoever signs in and out at the right moment makes the homeserver delete other devices with their keys."""

import asyncio
import time
from pathlib import Path
from typing import Any

from beside import V3, beside_a_synapse
from world import PASSWORD


def test_logins_and_logouts_at_once_leave_exactly_the_devices_that_are_signed_in(
    database_url: str, tmp_path: Path
) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        world, synapse = both.world, both.synapse
        first = world.register()
        both.deliver()
        lost: list[str] = []
        alive: set[str] = set()

        def slowly(called: Any) -> None:
            time.sleep(0.05)
            lost.extend(alive - set(called.body["devices"]))

        synapse.replies["sync_devices"] = slowly

        async def sign_in_and_out(number: int) -> None:
            device_id = f"DEVICE{number}"
            body = {"type": "m.login.password", "user": "alice", "password": PASSWORD, "device_id": device_id}
            answer = await world.acall("POST", f"{V3}/login", body)
            assert answer.status_code == 200
            alive.add(device_id)  # its client may have uploaded keys from now on
            await asyncio.sleep(0.02 * number)
            if number % 2:
                alive.discard(device_id)
                await world.acall("POST", f"{V3}/logout", {}, token=answer.json()["access_token"])

        async def work() -> None:
            for _ in range(12):
                await world.server.worker.run_once()
                await asyncio.sleep(0.02)

        world.together(work, *((lambda n=n: sign_in_and_out(n)) for n in range(8)))
        for _ in range(3):
            world.clock.advance(60_000)
            both.deliver()
        assert lost == []
        assert sorted(synapse.users["alice"].devices) == sorted(both.device_ids(first))
