"""A PostgreSQL server of the tests' own: made in a folder under /tmp, reached by a socket there, gone afterwards.

PostgreSQL refuses to run as root, so root runs it as another user. What it stores need not survive a power cut.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
MISSING = "NO POSTGRESQL HERE, so the history was tested on SQLite alone. Install it: sudo apt-get install postgresql"
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=30")


EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public
"""


class Cluster:
    """A server with a database that is emptied for every test, which is quicker than making another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = INSTALLED[-1].parent
        self._prefix: list[str] = []
        self._names = (f"history{number}" for number in itertools.count())
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._run("initdb", "--pgdata", self._data, "--username=switchboard", "--auth=trust", "--encoding=UTF8",
                  "--locale=C", "--no-sync", "--no-instructions")  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        settings = " ".join(
            f"-c {setting}" for setting in (*FAST, "listen_addresses=", f"unix_socket_directories={self.folder}")
        )
        self._run(
            "pg_ctl", "start", "--wait", "--pgdata", self._data, "--log", str(self.folder / "log"), "-o", settings
        )

    def stop(self, mode: str = "immediate") -> None:
        """`fast` says farewell to clients, `immediate` does not."""
        self._run("pg_ctl", "stop", "--wait", "--pgdata", self._data, "--mode", mode)

    def url(self, database: str = "postgres") -> str:
        """Its address, as DATABASE_URL has it."""
        return f"postgresql://switchboard@/{database}?host={self.folder}"

    def empty(self) -> str:
        """Throw everything away that the database holds, and everybody out. Gives its address."""
        self.ask(EMPTY)
        return self.url()

    def make_database(self) -> str:
        """Make one more, for a test that needs several. Gives its address."""
        name = next(self._names)
        self.ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def ask(self, statement: str) -> str:
        """Run a statement past everything that is being tested. Gives what psql prints."""
        quiet = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
        where = (f"--host={self.folder}", "--username=switchboard", "--dbname=postgres")
        return self._run("psql", *quiet, *where, "--command", statement)

    def _run(self, program: str, *arguments: str) -> str:
        command = [*self._prefix, str(self._programs / program), *arguments]
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open for as long as the server does
            status = subprocess.run(command, cwd="/", stdout=output, stderr=output, check=False).returncode
            output.seek(0)
            printed = output.read()
        assert status == 0, f"{program} failed: {printed}"
        return printed


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A server that runs until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # the path of a socket must be short
    try:
        cluster = Cluster(folder)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder)
