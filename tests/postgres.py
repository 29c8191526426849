"""A real PostgreSQL, started from the system's binaries in a temporary directory."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from scratch import in_memory

_COUNT = 0
_MOST_BYTES = 16 * 1024 * 1024
"""How large a database may be that another test gets: one with much in it, or much that was deleted, is not emptied."""
_SHAPE = """
SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
    SELECT concat('column ', attrelid::regclass, attname, atttypid, attnotnull) FROM pg_attribute
    WHERE attrelid::regclass::text NOT LIKE 'pg\\_%' AND attrelid >= 16384 AND attnum > 0
    UNION ALL SELECT concat('index ', pg_get_indexdef(indexrelid)) FROM pg_index WHERE indexrelid >= 16384
    UNION ALL SELECT concat('trigger ', tgname) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT concat('constraint ', conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT concat('function ', proname) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT concat('schema ', nspname) FROM pg_namespace WHERE oid >= 16384
    UNION ALL SELECT concat('setting ', setconfig::text) FROM pg_db_role_setting
    UNION ALL SELECT concat('migration ', version, ' ', name) FROM schema_migrations
) AS shape (line)
"""
_OTHERS = """
SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def binary(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    for directory in (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), None):
        found = shutil.which(name, path=None if directory is None else str(directory))
        if found:
            return found
    raise FileNotFoundError(f"PostgreSQL's {name} is missing: run scripts/system-packages postgresql")


class PostgresServer:
    """A server that listens on a socket in its own directory only."""

    def __init__(self, _directory: Path, superuser: str = "threepid", *, passwords: bool = False) -> None:
        """`passwords`: everybody but the superuser needs theirs."""
        # A socket's path must be short, and PostgreSQL refuses to run as root: both need a directory of our own.
        self._root = Path(tempfile.mkdtemp(prefix="tp-pg-", dir=in_memory()))
        self._data = self._root / "data"
        self._clean: list[str] = []
        self._known: dict[str, psycopg.Connection[Any]] = {}
        self._shape: str | None = None
        self._superuser = superuser
        self._passwords = passwords
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "postgres" if _exists("postgres") else "nobody"
            shutil.chown(self._root, self._user)

    @property
    def socket(self) -> Path:
        """The folder of its socket."""
        return self._root

    def start(self) -> None:
        self._run(
            "initdb", "--auth=trust", f"--username={self._superuser}", "--encoding=UTF8", "--locale=C",
            "-D", str(self._data),
        )  # fmt: skip
        if self._passwords:
            (self._data / "pg_hba.conf").write_text(f"local all {self._superuser} trust\nlocal all all scram-sha-256\n")
        options = f"-k {self._root} -c listen_addresses= -c max_connections=100 -c fsync=on"
        self._run("pg_ctl", "-D", str(self._data), "-w", "-o", options, "-l", str(self._root / "log"), "start")

    def stop(self) -> None:
        for connection in self._known.values():
            connection.close()
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")
        shutil.rmtree(self._root)

    def halt(self) -> None:
        """Stop until `restart`."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "stop")

    def restart(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "-l", str(self._root / "log"), "restart")

    def url(self, database: str) -> str:
        return f"postgresql://{self._superuser}@/{database}?host={self._root}"

    def create_database(self, name: str) -> str:
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def copy_database(self, template: str) -> tuple[str, str]:
        global _COUNT  # noqa: PLW0603 - names must differ within the run
        _COUNT += 1
        name = f"test_{os.getpid()}_{_COUNT}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name, self.url(name)

    def lend(self, template: str) -> tuple[str, str]:
        """The name and URL of a database that is like the template: one that was given back, or a new copy.

        A copy costs PostgreSQL more than most tests.
        """
        if self._clean:
            name = self._clean.pop()
            return name, self.url(name)
        return self.copy_database(template)

    def take_back(self, name: str, template: str) -> None:
        """Empty a database for the next test, if it can be made like the template again."""
        if self._shape is None:
            with psycopg.connect(self.url(template), autocommit=True) as connection:
                self._shape = _value(connection, _SHAPE)
        try:
            emptied = self._empty(name)
        except psycopg.Error:
            emptied = False
        if emptied:
            self._clean.append(name)
        else:
            self.drop_database(name)

    def _empty(self, name: str) -> bool:
        connection = self._connection(name)
        connection.execute(_OTHERS.encode())
        if _value(connection, "SELECT pg_database_size(current_database())") > _MOST_BYTES:
            return False
        if _value(connection, _SHAPE) != self._shape:
            return False
        tables = connection.execute(
            b"SELECT relname FROM pg_class WHERE relkind = 'r' AND oid >= 16384 AND relname <> 'schema_migrations'"
        ).fetchall()
        # Foreign keys are triggers, and a replica fires none.
        deletions = "".join(f'DELETE FROM "{table}";' for (table,) in tables)
        connection.execute(f"SET session_replication_role = replica; {deletions}".encode())
        return True

    def _connection(self, name: str) -> psycopg.Connection[Any]:
        """A connection that stays: a new one reads the catalogue anew, which costs more than to empty the tables."""
        known = self._known.pop(name, None)
        if known is not None:
            try:
                known.execute(b"SELECT 1")
            except psycopg.Error:  # a test has restarted the server
                known = None
        self._known[name] = known or psycopg.connect(self.url(name), autocommit=True)
        return self._known[name]

    def drop_database(self, name: str) -> None:
        if (known := self._known.pop(name, None)) is not None:
            known.close()
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """Run a statement outside of all transactions, as the superuser."""
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


def _value(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
