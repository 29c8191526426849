"""F08: a whole server is killed again and again while it sends: no mail is lost, and a second copy has the same code."""

import time
from pathlib import Path

import pytest

from rig import ServerProcess, identity_token, register, request_token, sink, wait_for

KILLS = 3
MAILS = 30


@pytest.mark.parametrize("kills", [KILLS])
def test_killed_while_sending_nothing_is_lost_and_little_doubled(tmp_path: Path, kills: int) -> None:
    with sink() as (taken, port):
        via = f'{{ transport = "smtp", host = "127.0.0.1", port = {port}, tls = "plain" }}'
        server = ServerProcess(tmp_path / "server", via=via).start()
        with server.client() as http:
            identity = identity_token(http, register(http, "sender"))
            for number in range(MAILS):
                assert request_token(http, identity, f"a{number}@example.com", secret=f"s{number}").status_code == 200
                if number % (MAILS // kills) == MAILS // kills - 1:
                    server.kill()
                    server.start()
        server.kill()  # what the dead workers had in hand is let go by the next start
        server.start()
        wanted = {f"a{number}@example.com" for number in range(MAILS)}
        wait_for(lambda: {mail.recipients[0] for mail in taken.mails} == wanted, what="all mails")
        time.sleep(0.5)
        server.stop()
    assert len(taken.mails) - MAILS <= (kills + 1) * 8
    codes: dict[str, set[str]] = {}
    for mail in taken.mails:
        codes.setdefault(mail.recipients[0], set()).add(mail.code)
    assert all(len(found) == 1 for found in codes.values())
