"""This machine: packages against the lock, processors, memory, disk, ports, other people's Ray, the token."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mmsa
from mmsa.doctor.findings import Finding
from mmsa.provenance import git_state, running_code

LOCK = Path(mmsa.__file__).resolve().parent.parent / "constraints.txt"
_GIB = 2**30
_LEAST_SHM, _LEAST_DISK = 2 * _GIB, 5 * _GIB
_LEAST_PORTS = 2000
# A socket's path has 107 bytes at most, on macOS 103; this one ends with a process's number of seven digits.
_OF_SOCKET = "/ray/session_2026-12-01_15-48-02_782700_4194304/sockets/plasma_store"
_LONGEST_RAY = (103 if sys.platform == "darwin" else 107) - len(_OF_SOCKET)
_RAY_PORT = 6379
_PROC = Path("/proc")
_OURS = ("torch", "ray", "optuna", "mlflow", "transformers", "numpy")


def code() -> Iterator[Finding]:
    """The copy of mmsa that runs."""
    state = git_state()
    commit = "" if state is None else f", commit {state[0][:12]}{' with changes' if state[1] else ''}"
    yield Finding("code", "ok", f"{running_code()}{commit}")


def lock(file: Path = LOCK) -> Iterator[Finding]:
    """Versions of packages against ``constraints.txt``."""
    if not file.is_file():
        yield Finding(
            "lock", "note", "no constraints.txt beside this mmsa, so versions are compared with nothing"
        )
        return
    from packaging.requirements import Requirement

    counted, differing = 0, []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        try:
            found = version(pin.name)
        except PackageNotFoundError:
            continue  # of an extra that is not installed; what mmsa itself needs would not have started
        counted += 1
        if not pin.specifier.contains(found, prereleases=True):
            differing.append(f"{pin.name} {found} (locked: {pin.specifier})")
    python = ".".join(map(str, sys.version_info[:3]))
    known = ", ".join(f"{name} {version(name)}" for name in _OURS)
    if not differing:
        yield Finding("lock", "ok", f"Python {python}, {counted} packages as locked: {known}")
        return
    yield Finding(
        "lock",
        "wrong",
        f"{len(differing)} of {counted} packages differ: {', '.join(differing[:8])}",
        "pip install --constraint constraints.txt --editable . (or make clean env): results are comparable "
        "on equal versions only, and Ray refuses nodes of other versions.",
    )


def gpus() -> Iterator[Finding]:
    """What torch sees."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = Path("/dev").glob("nvidia[0-9]*")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        limited = f" (CUDA_VISIBLE_DEVICES={visible})" if visible is not None else ""
        yield Finding("GPUs", "ok", f"{len(names)}: {', '.join(sorted(set(names)))}{limited}")
    elif any(devices) and visible != "":
        yield Finding(
            "GPUs",
            "wrong",
            f"there are cards, but torch {torch.__version__} cannot use them",
            "Install a CUDA build of torch that the driver (nvidia-smi) is new enough for; in a container, "
            "start it with the GPUs.",
        )
    else:
        yield Finding("GPUs", "ok", "none; trials run on CPUs (train.device: auto)")


def threads() -> Iterator[Finding]:
    """Processors that this process may use, and what else wants them."""
    allowed, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    quota = _quota()
    cpus = min(allowed, quota or allowed)
    told = f"{cpus:g} of {there} CPUs may be used" if cpus < there else f"{there} CPUs"
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > cpus:
        yield Finding(
            "threads",
            "wrong",
            f"{told}, and OMP_NUM_THREADS is {asked}",
            "Unset it: trials set their own number, and more threads than CPUs wait for each other.",
        )
    elif quota and quota < allowed:
        yield Finding(
            "threads",
            "note",
            f"{told} (a quota)",
            f"Start Ray with --num-cpus={max(int(quota), 1)}: it may count all {allowed}.",
        )
    elif (load := os.getloadavg()[1]) > cpus:
        advice = "Other programs want them too; search with fewer trials at once (--concurrency)."
        yield Finding("threads", "note", f"{told}, load {load:.1f}", advice)
    else:
        yield Finding("threads", "ok", f"{told}, load {load:.1f}")


def _quota() -> float | None:
    """CPUs of this control group; None without a limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)


def shm(folder: Path = Path("/dev/shm")) -> Iterator[Finding]:  # noqa: S108 - where Ray keeps its store
    """Shared memory, in which Ray keeps the corpora."""
    if not folder.is_dir():
        yield Finding("shm", "note", f"no {folder}: Ray's object store goes to the disk, which is slower")
        return
    free = shutil.disk_usage(folder).free
    if free < _LEAST_SHM:
        yield Finding(
            "shm",
            "wrong",
            f"{free / _GIB:.1f} GiB free in {folder}",
            f"Ray's object store needs {_LEAST_SHM / _GIB:.0f} GiB or the corpora's size: --shm-size, "
            "shm_size (compose), an emptyDir with medium: Memory (Kubernetes).",
        )
    else:
        yield Finding("shm", "ok", f"{free / _GIB:.1f} GiB free in {folder}")


def disk(runs: Path) -> Iterator[Finding]:
    """Free space for runs and for Ray's session, and that both can be written."""
    temporary = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - Ray's rule
    for subject, folder in (("runs", runs), ("Ray's", temporary)):
        place = folder.resolve()
        while not place.exists():
            place = place.parent
        if not _takes_files(place):
            advice = (
                "Name another with --runs." if subject == "runs" else "Set RAY_TMPDIR to one that can be."
            )
            yield Finding("disk", "wrong", f"the folder {subject} {folder} cannot be written", advice)
            continue
        if subject == "Ray's" and len(os.fsencode(folder.absolute())) > _LONGEST_RAY:
            told = f"the path of Ray's {folder} is too long for the sockets that Ray makes below it"
            advice = f"Set RAY_TMPDIR to a folder whose path has at most {_LONGEST_RAY} characters."
            yield Finding("disk", "wrong", told, advice)
            continue
        usage = shutil.disk_usage(place)
        told = f"{usage.free / _GIB:.1f} GiB free for {subject} {folder}"
        if usage.free < _LEAST_DISK:
            advice = "Make room: checkpoints stop being written first, then Ray stops taking objects."
            yield Finding("disk", "wrong", told, advice)
        elif subject == "Ray's" and usage.free < 0.05 * usage.total:
            advice = "Ray warns and stops spilling above 95 %: set RAY_TMPDIR to a disk with room."
            yield Finding("disk", "note", told, advice)
        else:
            yield Finding("disk", "ok", told)


def _takes_files(folder: Path) -> bool:
    # Tried and not asked for: root may write everywhere by the rights of a folder, and not into /proc.
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def ports() -> Iterator[Finding]:
    """Ports that Ray may take: a range of them for workers, and one by agreement for a head."""
    range_ = _PROC / "sys/net/ipv4/ip_local_port_range"
    if range_.is_file():
        low, high = map(int, range_.read_text(encoding="utf-8").split())
        if high - low < _LEAST_PORTS:
            advice = "Each worker takes one and each connection another: widen net.ipv4.ip_local_port_range."
            yield Finding("ports", "wrong", f"only {high - low} ports for connections", advice)
            return
    with socket.socket() as tried:
        try:
            tried.bind(("", _RAY_PORT))
        except OSError:
            yield Finding(
                "ports",
                "note",
                f"port {_RAY_PORT} is taken",
                "A head of your own needs another --port; launch/slurm.sbatch derives one from the job.",
            )
            return
    yield Finding("ports", "ok", f"port {_RAY_PORT} and a range for workers are free")


def other_ray() -> Iterator[Finding]:
    """Ray processes on this machine, and whose they are."""
    owners: dict[str, int] = {}
    for process in _PROC.glob("[0-9]*"):
        try:
            name = (process / "comm").read_text(encoding="utf-8").strip()
            owner = process.stat().st_uid
        except OSError:
            continue  # it ended meanwhile
        if name in ("raylet", "gcs_server"):
            owners[_user(owner)] = owners.get(_user(owner), 0) + 1
    if not owners:
        yield Finding("Ray", "ok", "no other Ray on this machine")
        return
    told = ", ".join(f"{count} processes of {user}" for user, count in sorted(owners.items()))
    yield Finding(
        "Ray",
        "note",
        f"another Ray runs here: {told}",
        "A search never joins it unless told by --ray-address; do not run `ray stop`, which ends everybody's "
        "that it may.",
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def token() -> Iterator[Finding]:
    """Ray's token: where it is read from, and who else can read it."""
    mode = os.environ.get("RAY_AUTH_MODE", "")
    given = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    if mode == "disabled":
        advice = "Unset RAY_AUTH_MODE: whoever reaches an open port of Ray runs any code as you."
        yield Finding("token", "wrong", "RAY_AUTH_MODE is disabled", advice)
    elif "RAY_AUTH_TOKEN" in os.environ:
        yield Finding("token", "ok", "Ray's token is in the environment")
    elif not given:
        yield Finding("token", "ok", "none is set; a search that starts its own Ray makes one for itself")
    elif not Path(given).is_file():
        advice = f"Make it: (umask 077; ray get-auth-token --generate > {given})"
        yield Finding("token", "wrong", f"RAY_AUTH_TOKEN_PATH names no file: {given}", advice)
    elif Path(given).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(
            "token", "wrong", f"others may read {given}", f"chmod 600 {given}, and make a new token."
        )
    else:
        yield Finding("token", "ok", f"{given}, readable by its owner only")
