"""A Ray cluster of several nodes on this machine, whose nodes are killed and added.

Each node is a ``ray start --block`` of its own: killed, it takes all processes of the node with it, as a
power cut would. Where namespaces can be made, each node has a network of its own, and so an address.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from networks import Place

_STARTUP_SECONDS = 400.0
_STORE_BYTES = 150 * 2**20
CPUS = 1


class Cluster:
    """A head without CPUs, to which drivers connect, and nodes of ``CPUS`` each; a context manager.

    Args:
        places: where nodes run, the head first; each is used once.
        folder: for what they print.
    """

    def __init__(self, places: Iterator[Place], folder: Path):
        self._places, self._folder = places, folder
        self._environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "300",
            "RAY_worker_niceness": "0",  # as in a cluster that mmsa starts
        }
        self._processes: dict[Place, subprocess.Popen[bytes]] = {}
        self._started = 0
        self.head = next(places)
        self.nodes: list[subprocess.Popen[bytes]] = []
        port = _free_port()
        self.address = f"{self.head.address}:{port}"
        head = ["--head", "--port", str(port), "--include-dashboard=false", "--num-cpus=0"]
        self._head = self._start(self.head, head)

    def add(self) -> subprocess.Popen[bytes]:
        """One more node."""
        node = self._start(next(self._places), ["--address", self.address, f"--num-cpus={CPUS}"])
        self.nodes.append(node)
        return node

    def _start(self, place: Place, options: Sequence[str]) -> subprocess.Popen[bytes]:
        """One after the other: two that start at once take the same files of Ray's session."""
        ray = str(Path(sys.executable).with_name("ray"))
        command = [*place.prefix, ray, "start", "--block", "--node-ip-address", place.address]
        command += ["--num-gpus=0", "--min-worker-port=0", "--max-worker-port=0", *options]
        self._started += 1
        log = self._folder / f"node-{self._started}.log"
        with log.open("wb") as output:
            node = subprocess.Popen(
                [*command, f"--object-store-memory={_STORE_BYTES}"],
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + _STARTUP_SECONDS
        while b"will now block forever" not in log.read_bytes():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """The machine is gone, with all that ran on it."""
        self.nodes.remove(node)
        node.kill()
        node.wait()

    def run(self, command: Sequence[str], **details: object) -> subprocess.Popen[bytes]:
        """A process beside the head that may connect to the cluster."""
        return subprocess.Popen([*self.head.prefix, *command], env=self._environment, **details)  # type: ignore[call-overload]

    def workers(self, title: str) -> list[int]:
        """The processes of actors of that class."""
        raylets = [child for node in self.nodes for child in _children(node.pid)]
        workers = [child for raylet in raylets for child in _children(raylet)]
        return [worker for worker in workers if _title(worker).startswith(f"ray::{title}")]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error: object) -> None:
        for node in [*self.nodes, self._head]:
            node.send_signal(signal.SIGKILL)
            node.wait()


def _children(process: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return []


def _title(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
