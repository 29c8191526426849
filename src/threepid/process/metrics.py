"""The listener for the metrics of all workers, in a process of its own."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threepid import config
from threepid.output import secure_output
from threepid.process.lifeline import Lifeline


@contextmanager
def listening(listen: str, directory: str, lifeline: Lifeline) -> Iterator[None]:
    """Serve the metrics that all workers write to `directory`, from a process of its own."""
    where = config.tcp_address(listen)
    # A forked process holds the lifeline at once; a new interpreter would have to import all modules first.
    linux = sys.platform == "linux"
    context = multiprocessing.get_context("fork") if linux else multiprocessing.get_context("spawn")
    arguments = (where.host, where.port, directory, lifeline, os.getpid())
    process = context.Process(target=_serve_metrics, args=arguments, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _serve_metrics(host: str, port: int, directory: str, lifeline: Lifeline, supervisor: int) -> None:
    lifeline.hold()
    secure_output()
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - reads the environment at import
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - likewise

    from threepid.process.resources import Processes  # noqa: PLC0415 - likewise

    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)  # type: ignore[no-untyped-call]
    if sys.platform == "linux":
        registry.register(Processes(supervisor))
    _, thread = start_http_server(port, host, registry)
    thread.join()
