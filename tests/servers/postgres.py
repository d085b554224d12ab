"""A real PostgreSQL server for tests: Debian's package, private, on a socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import sqlalchemy as sa

HOW = "no PostgreSQL here: apt-get install postgresql"
OWNER, SERVICE = "evault_owner", "evault_service"
_PORT = 5432  # names the socket's file alone: nothing listens on an address


@dataclass
class PostgresServer:
    """A running server, and its databases, each made for one test."""

    folder: Path
    account: str | None
    pid: int
    program: Path

    def __post_init__(self) -> None:
        self._numbers = count(1)

    def url(self, database: str, user: str = OWNER) -> str:
        """A URL without a password: the socket's folder is private."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def database(self) -> str:
        """A new database; its name."""
        name = f"test{next(self._numbers)}"
        self._execute("postgres", f"CREATE DATABASE {name} OWNER {OWNER}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def copy(self, name: str) -> str:
        """A new database with what another holds; nobody may be connected to that."""
        made = f"test{next(self._numbers)}"
        self._execute("postgres", f"CREATE DATABASE {made} TEMPLATE {name} OWNER {OWNER}")
        return made

    def execute(self, database: str, *statements: str) -> None:
        """Run statements as the superuser, each on its own."""
        self._execute(database, *statements)

    def _execute(self, database: str, *statements: str) -> None:
        url = sa.make_url(self.url(database, "postgres")).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                for each in statements:
                    connection.exec_driver_sql(each)
        finally:
            engine.dispose()


def find_programs() -> Path | None:
    """The folder of the newest server's programs."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    beside = shutil.which("initdb")
    return Path(beside).resolve().parent if beside else None


@contextmanager
def running(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server; it is stopped by its own pid at the end. `durable` for measurements."""
    programs = find_programs()
    if programs is None:
        raise FileNotFoundError(HOW)
    # A socket's path may not be long, so it lies in no folder of pytest's.
    folder = Path(tempfile.mkdtemp(prefix="evault-pg-"))
    account = None
    if os.getuid() == 0:  # the server refuses to run as root
        account = next(
            name
            for name in ("postgres", "nobody")
            if any(e.pw_name == name for e in pwd.getpwall())
        )
        shutil.chown(folder, account)
        folder.chmod(0o755)
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N",
         "--no-locale", "-E", "UTF8"],
        user=account, check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, "-p", str(_PORT),
             "-c", "listen_addresses=", "-c", f"fsync={'on' if durable else 'off'}",
             "-c", "max_connections=300", "-c", "shared_buffers=64MB"],
            user=account, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
    server = PostgresServer(folder, account, process.pid, programs)
    try:
        ready = [programs / "pg_isready", "-q", "-h", folder, "-p", str(_PORT), "-U", "postgres"]
        for _ in range(300):
            if subprocess.run(ready, check=False).returncode == 0:
                break
            if process.poll() is not None:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        else:
            raise RuntimeError(f"PostgreSQL did not start: {(folder / 'server.log').read_text()}")
        server.execute("postgres", f"CREATE ROLE {OWNER} LOGIN", f"CREATE ROLE {SERVICE} LOGIN")
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: there is nothing to save
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
