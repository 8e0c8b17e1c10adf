"""Network namespaces of one's own, each like a host: with an address, joined by a bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_NETWORK = "10.231.7"


@dataclass(frozen=True)
class Place:
    """Where a node runs: its address, and how a command is run there."""

    address: str
    prefix: Sequence[str] = ()


HERE = Place("127.0.0.1")


@contextmanager
def networks(count: int) -> Iterator[list[Place]]:
    """Places with addresses of their own, joined by a bridge."""
    tag = f"mmsa{os.getpid() % 100_000}"
    with ExitStack() as undo:

        def make(kind: str, *details: str) -> None:
            _ip(kind, "add", *details)
            undo.callback(_ip, kind, "del", details[0])

        make("link", f"{tag}b", "type", "bridge")
        _ip("link", "set", f"{tag}b", "up")
        places = []
        for number in range(1, count + 1):
            place = Place(f"{_NETWORK}.{number}", ("ip", "netns", "exec", f"{tag}n{number}"))
            make("netns", f"{tag}n{number}")
            make(
                "link", f"{tag}v{number}", "type", "veth", "peer", "name", "eth0", "netns", f"{tag}n{number}"
            )
            _ip("link", "set", f"{tag}v{number}", "master", f"{tag}b", "up")
            _ip("-n", f"{tag}n{number}", "addr", "add", f"{place.address}/24", "dev", "eth0")
            for interface in ("eth0", "lo"):
                _ip("-n", f"{tag}n{number}", "link", "set", interface, "up")
            places.append(place)
        yield places


def _ip(*details: str) -> None:
    subprocess.run(["ip", *details], check=True, capture_output=True)


def no_networks() -> str:
    """Why this machine makes no networks, in words; empty where it does."""
    if not shutil.which("ip"):
        return "the program ip (package iproute2)"
    try:
        with networks(1):
            return ""
    except subprocess.CalledProcessError as error:
        return f"the right to make network namespaces ({error.stderr.decode().strip()})"
