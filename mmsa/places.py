"""Processes as others remember them: by the boot of their machine, their namespace, and their start."""

from __future__ import annotations

import os
from pathlib import Path


def place_of_process(pid: int) -> str:
    """Boot of this machine, process namespace, and process with its start time.

    Empty where the kernel does not tell, and for a zombie, which has ended.
    """
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{machine} {namespace} {pid}/{fields[19]}"


def machine_of(place: str) -> str:
    """The part of a place that all processes of a machine and namespace share."""
    return place.rpartition(" ")[0]


def has_ended(place: str) -> bool | None:
    """Whether the process that was at a place has ended; None if it was none of this machine.

    Examples:
        >>> import os
        >>> has_ended(place_of_process(os.getpid()))
        False
        >>> has_ended(f"{machine_of(place_of_process(os.getpid()))} {os.getpid()}/0")
        True
        >>> has_ended("another boot pid:[1] 7/1") is None
        True
    """
    ours = machine_of(place_of_process(os.getpid()))
    if not ours or machine_of(place) != ours:
        return None
    pid = place.rpartition(" ")[2].partition("/")[0]
    return place_of_process(int(pid)) != place
