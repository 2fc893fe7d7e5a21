"""A real PostgreSQL for tests, in a folder of its own, on a port of loopback.

It refuses to run as root: then it runs as the user whom its package made.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"


def programs() -> Path | None:
    """The folder with the server's programs; Debian keeps them off the path, one folder per version."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    return versions[-1].parent if versions else Path(found).resolve().parent if found else None


def missing() -> str | None:
    """Why no PostgreSQL can be started here."""
    if programs() is None:
        return "PostgreSQL is not installed: run tests/servers/install.sh as root"
    if os.getuid() == 0 and (shutil.which("setpriv") is None or not _has_user()):
        return "PostgreSQL refuses root, and there is no user postgres or no setpriv to become it"
    return None


def _has_user() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


class PostgresServer:
    """PostgreSQL with an empty database, from entering until leaving. It may be stopped and started in
    between."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.port = 0
        self._databases = 0

    def __enter__(self) -> PostgresServer:
        if os.getuid() == 0:
            shutil.chown(self.folder, USER)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._run(
            "initdb", "--pgdata", str(self.folder / "data"), "--username", USER, "--auth", "trust",
            "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions",
        )  # fmt: skip
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder}"
        )
        log = str(self.folder / "server.log")
        self._run("pg_ctl", "--pgdata", str(self.folder / "data"), "--log", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        """At once, as after a power failure: clients are cut off."""
        self._run("pg_ctl", "--pgdata", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def new_url(self) -> str:
        """The address of a new empty database."""
        self._databases += 1
        name = f"service{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name)
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        folder = programs()
        assert folder is not None
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        command = [*(become if os.getuid() == 0 else []), str(folder / program), *arguments]
        # A server keeps what it inherits: its output goes nowhere, or whoever reads it would wait for ever.
        log = self.folder / "programs.log"
        with log.open("ab") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{log.read_text(errors='replace')[-2000:]}")
