"""A real PostgreSQL, started from the system's binaries in a temporary directory."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

_COUNT = 0


def binary(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    for directory in (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), None):
        found = shutil.which(name, path=None if directory is None else str(directory))
        if found:
            return found
    raise FileNotFoundError(f"PostgreSQL's {name} is missing: run scripts/system-packages postgresql")


class PostgresServer:
    """A server that listens on a socket in its own directory only."""

    def __init__(self, _directory: Path) -> None:
        # A socket's path must be short, and PostgreSQL refuses to run as root: both need a directory of our own.
        self._root = Path(tempfile.mkdtemp(prefix="tp-pg-"))
        self._data = self._root / "data"
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "postgres" if _exists("postgres") else "nobody"
            shutil.chown(self._root, self._user)

    def start(self) -> None:
        self._run(
            "initdb", "--auth=trust", "--username=threepid", "--encoding=UTF8", "--locale=C", "-D", str(self._data)
        )
        options = f"-k {self._root} -c listen_addresses= -c max_connections=100 -c fsync=on"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-o", options, "-l", str(self._root / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self._root)

    def restart(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "-l", str(self._root / "log"), "restart")

    def url(self, database: str) -> str:
        return f"postgresql://threepid@/{database}?host={self._root}"

    def create_database(self, name: str) -> str:
        self._admin(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def copy_database(self, template: str) -> tuple[str, str]:
        global _COUNT  # noqa: PLW0603 - names must differ within the run
        _COUNT += 1
        name = f"test_{os.getpid()}_{_COUNT}"
        self._admin(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name, self.url(name)

    def drop_database(self, name: str) -> None:
        self._admin(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _admin(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [binary(program), *arguments],
            check=True,
            user=self._user,
            cwd=self._root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
        )


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
