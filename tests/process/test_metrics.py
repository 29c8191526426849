"""The metrics of a running server with several workers."""

import os
import shutil
from collections import defaultdict
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from rig import ServerProcess, register, wait_for, whole
from threepid.process.resources import Processes

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(server: ServerProcess) -> Samples:
    text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
    found: Samples = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def test_workers_are_summed(tmp_path: Path) -> None:
    with whole(ServerProcess(tmp_path / "server", server="workers = 2")) as server:
        for _ in range(60):
            with server.client() as http:  # a connection of its own: any of the workers answers
                http.get("/_matrix/client/v3/profile/@nobody:x?secret=canary")
        with server.client() as http:
            register(http, "alice")
            http.get("/a/canary")
            http.post("/_matrix/client/v3/login", json={"type": "m.login.password", "user": "alice", "password": "x"})
        of_profile = frozenset({("operation", "get_profile")})
        # Workers copy their counts once a second.
        wait_for(lambda: scraped(server)["threepid_requests_total", of_profile] == 60, what="the count of both workers")
        wait_for(
            lambda: scraped(server)[
                "threepid_logins_total", frozenset({("by", "password"), ("outcome", "wrong password")})
            ]
        )
        found = scraped(server)
        assert found["threepid_request_seconds_count", of_profile] == 60
        assert found["threepid_request_seconds_bucket", of_profile | {("le", "+Inf")}] == 60
        assert 0 < found["threepid_request_seconds_sum", of_profile] < 60
        refused = of_profile | {("errcode", "M_NOT_FOUND")}
        assert found["threepid_refused_requests_total", refused] == 60
        assert found["threepid_database_seconds_count", frozenset({("kind", "write")})] > 0
        assert found["threepid_password_wait_seconds_count", frozenset()] >= 2
        assert found["threepid_event_loop_lag_seconds_count", frozenset()] > 0
        # supervisor, two workers, this listener, and whatever multiprocessing adds
        assert found["threepid_processes", frozenset()] >= 4
        assert found["process_cpu_seconds_total", frozenset()] > 0.5
        assert found["process_resident_memory_bytes", frozenset()] > 50e6
        assert 10 < found["process_open_fds", frozenset()] < found["process_max_fds", frozenset()]
        assert not [name for name in found if "canary" in str(name)]


def test_cpu_time_of_ended_workers_is_kept(tmp_path: Path) -> None:
    supervisor, worker, stranger = (tmp_path / name for name in ("10", "11", "12"))

    def write(folder: Path, parent: int, *times: int) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "fd").mkdir(exist_ok=True)
        zeros = " 0" * 9
        (folder / "stat").write_text(f"1 (a ) b) S {parent}{zeros} {' '.join(map(str, times))} 0 0 0 0 0 0 100 0\n")

    def seconds() -> float:
        cpu = next(iter(Processes(10, tmp_path).collect()))
        return float(cpu.samples[0].value) * os.sysconf("SC_CLK_TCK")

    write(supervisor, 1, 100, 10, 0, 0)
    write(worker, 10, 1000, 100, 0, 0)
    write(stranger, 1, 5000, 0, 0, 0)
    assert seconds() == 1210
    shutil.rmtree(worker)
    write(supervisor, 1, 100, 10, 1000, 100)
    assert seconds() == 1210
