"""What the server's processes use, read from Linux's `/proc` when the metrics are asked for: it costs the workers nothing.

https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PARENT: Final = 1
_TIMES: Final = slice(11, 13)
_TIMES_OF_CHILDREN: Final = slice(13, 15)
_RESIDENT: Final = 21
"""Places in `/proc/PID/stat`, counted after the name of the program."""
_OPEN_FILES: Final = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)


class Use(Struct, frozen=True):
    """What one process uses."""

    parent: int
    seconds: float
    seconds_of_ended: float
    """CPU time of its children that have ended."""
    resident: int


class Processes(Collector):
    """The metrics of a supervisor and its children, with the names that Prometheus's clients give them."""

    def __init__(self, supervisor: int, proc: Path = Path("/proc")) -> None:
        """`supervisor` is the ID of its process."""
        self._supervisor = supervisor
        self._proc = proc

    def collect(self) -> Iterator[Metric]:
        """Read all processes once."""
        found = self._uses()
        seconds = sum(use.seconds for use in found.values())
        if self._supervisor in found:
            seconds += found[self._supervisor].seconds_of_ended
        files = [self._open_files(process) for process in found]
        yield CounterMetricFamily("process_cpu_seconds", "CPU time of all processes of the server.", value=seconds)
        yield GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Memory of all processes of the server. What they share is counted in each of them.",
            value=sum(use.resident for use in found.values()),
        )
        yield GaugeMetricFamily(
            "process_open_fds",
            "Open files and connections of the process that has the most.",
            value=max(files, default=0),
        )
        yield GaugeMetricFamily(
            "process_max_fds", "How many open files and connections a process may have.", value=self._most_files()
        )
        yield GaugeMetricFamily("threepid_processes", "Number of processes of the server.", value=len(found))

    def _uses(self) -> dict[int, Use]:
        found = {}
        for folder in self._proc.iterdir():
            if folder.name.isdecimal() and (use := _use(folder)) is not None:
                process = int(folder.name)
                if self._supervisor in (process, use.parent):
                    found[process] = use
        return found

    def _open_files(self, process: int) -> int:
        with suppress(OSError):
            return sum(1 for _ in (self._proc / str(process) / "fd").iterdir())
        return 0

    def _most_files(self) -> int:
        with suppress(OSError):
            found = _OPEN_FILES.search((self._proc / str(self._supervisor) / "limits").read_text())
            return int(found[1]) if found else 0
        return 0


def _use(folder: Path) -> Use | None:
    """What the process of `folder` uses; None if it has ended."""
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return Use(
        int(fields[_PARENT]),
        sum(map(int, fields[_TIMES])) / _TICKS,
        sum(map(int, fields[_TIMES_OF_CHILDREN])) / _TICKS,
        int(fields[_RESIDENT]) * _PAGE,
    )
