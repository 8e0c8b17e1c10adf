"""An MLflow server of one's own, on a free loopback port."""

from __future__ import annotations

import configparser
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

_STARTUP_SECONDS = 120.0
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def no_passwords() -> str:
    """What this machine lacks for a server with passwords, in words; empty when there is nothing."""
    return "" if importlib.util.find_spec("flask_wtf") else "flask-wtf; pip install 'mmsa[cluster]'"


class Server:
    """A server that answers; a context manager.

    Args:
        folder: for files, and for runs without a ``store``.
        store: database of runs.
        users: database of those who may ask; without it everybody may.

    Attributes:
        origin: of its pages.
        url: the same with the name and password of its administrator, if it wants them.
    """

    def __init__(self, folder: Path, store: str | None = None, users: str | None = None):
        self._folder = folder
        self._store = store or f"sqlite:///{folder}/server.db"
        self._port = free_port()
        self.origin = self.url = f"http://127.0.0.1:{self._port}"
        self._options: list[str] = []
        self._environment = dict(_QUIET)
        self.password = ""
        if users:
            self.password = secrets.token_hex(16)
            self.url = f"http://admin:{self.password}@127.0.0.1:{self._port}"
            self._protect(users)

    def _protect(self, users: str) -> None:
        """Ask for a password, as docker/compose.yaml has it."""
        settings = configparser.ConfigParser()
        settings.read(Path(__file__).parents[1] / "docker" / "mlflow_auth.ini")
        settings["mlflow"]["database_uri"] = users
        with (self._folder / "auth.ini").open("w") as file:
            settings.write(file)
        self._options = ["--app-name", "basic-auth"]
        self._environment |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(self._folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        }

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self._port)]
        command += ["--backend-store-uri", self._store]
        command += ["--artifacts-destination", str(self._folder / "artifacts"), *self._options]
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)

    @property
    def session(self) -> int:
        """Of its processes."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once, with its workers."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.origin}/health", timeout=2) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            self.kill()
