"""A PostgreSQL server of one's own: in a temporary folder, on a free loopback port."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_ACCOUNT = "postgres"
_STARTUP_SECONDS = 60.0


class Missing(Exception):
    """What this machine lacks."""


def _binaries() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not versions:
        raise Missing("the server binaries of PostgreSQL; apt-get install postgresql")
    return versions[-1]


def missing() -> str:
    """What this machine lacks for a server, in words; empty when there is nothing."""
    try:
        _binaries()
        _account()
    except Missing as error:
        return str(error)
    driver = importlib.util.find_spec("psycopg")
    return "" if driver else "the driver psycopg; pip install 'psycopg[binary]'"


class Server:
    """A running server, a context manager. It refuses to run as root, who starts it as ``postgres``.

    Raises:
        Missing: when it is not installed, or there is no account to run it as.
    """

    def __init__(self) -> None:
        self._binaries, self._account = _binaries(), _account()
        self._root = tempfile.TemporaryDirectory(prefix="mmsa-postgres-")
        self._folder = Path(self._root.name) / "data"
        if self._account:
            shutil.chown(self._root.name, self._account.pw_uid, self._account.pw_gid)
        self._run(["initdb", "--auth=trust", f"--username={_ACCOUNT}", "-D", str(self._folder)])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._databases = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        command = [str(self._binaries / "postgres"), "-D", str(self._folder), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._identity()
        )
        deadline = time.monotonic() + _STARTUP_SECONDS
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a power cut would: its children notice and end too."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it, closing all connections."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._run(["createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", _ACCOUNT, name])
        return f"postgresql+psycopg://{_ACCOUNT}@127.0.0.1:{self.port}/{name}"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self._root.cleanup()

    def _run(self, command: Sequence[str]) -> None:
        program = [str(self._binaries / command[0]), *command[1:]]
        subprocess.run(program, check=True, capture_output=True, **self._identity())

    def _identity(self) -> dict[str, object]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}


def _account() -> pwd.struct_passwd | None:
    if os.geteuid():
        return None
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        raise Missing(f"an account {_ACCOUNT!r} to run PostgreSQL as, which refuses root") from None
