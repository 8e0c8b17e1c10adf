"""Ray on this machine for one search: how it starts, what it leaves on the disk, and a word when it dies."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.job_config import JobConfig
from typing_extensions import override

from mmsa.errors import StudyError
from mmsa.provenance import python_path
from mmsa.search.locks import Held, ProcessLock

_LOCK = "mmsa.lock"  # in the folder of a session that a driver of ours has
_VITAL = ("raylet", "gcs_server")
RESUMABLE = (
    "Nothing that the study holds is lost, and what ran goes on from its checkpoints: run the same command "
    "again."
)
"""What to do after Ray ended a search."""
_LAST_WORD = (
    "error: the driver of this search is gone: it was killed, or ended with Ray, whose raylet or GCS died. "
    + RESUMABLE
)
_ADVICE = (
    "Its files go to {folder} (set RAY_TMPDIR for another): a folder with a short path that can be written "
    "to, on a disk that is not full. On a machine that is busy with other work, try again later."
)


class Job(JobConfig):  # type: ignore[misc]
    """A job whose workers find modules where their own Python does.

    Ray puts the folder of the script and the working folder first, and a ``random.py`` there is taken for
    Python's, a second checkout for the code that this process runs.
    """

    @override
    def _serialize(self) -> bytes:
        self._py_driver_sys_path: list[str] = []
        serialized: bytes = super()._serialize()
        return serialized


@contextmanager
def local_ray(cpus: int | None) -> Iterator[None]:
    """A cluster of this machine; its files are gone afterwards, and so are those of drivers that died.

    Args:
        cpus: that it offers; None is all that there are.

    Raises:
        StudyError: when it cannot start.
    """
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        # Ray would write a token to the home folder, which may be read-only; this one lives as long as we do.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ["PYTHONPATH"] = python_path()
    try:
        with _hangups_held():
            ray.init(
                address="local",  # without it, Ray joins whatever cluster was started on this machine
                job_config=Job(),
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # anything from a socket's path to processes that do not start
        ray.shutdown()
        folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - Ray's rule
        raise StudyError(f"Ray cannot start: {error}\n{_ADVICE.format(folder=folder)}") from error
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    lock = _marked(session)
    remove_dead_sessions(session.parent)
    try:
        yield
    finally:
        ray.shutdown()
        lock.release()
        remove_dead_sessions(session.parent)


def refuse_dead_ray() -> None:
    """Look whether the processes of a cluster that this one started still live.

    Raises:
        StudyError: when one died without which nothing runs.
    """
    node = ray._private.worker._global_node
    dead = [kind for kind, _ in node.dead_processes() if kind in _VITAL] if node is not None else []
    if dead:
        raise StudyError(f"Ray's {' and '.join(dead)} died, and with it the trials' processes. {RESUMABLE}")


@contextmanager
def _hangups_held() -> Iterator[None]:
    """Let processes that start now be deaf to SIGHUP: a terminal sends it to all, and the driver decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _marked(session: Path) -> ProcessLock:
    """The lock by which others see that the session's driver lives; in place only when it is held."""
    new = session / f"{_LOCK}.new"
    lock = ProcessLock(new)
    new.replace(session / _LOCK)
    return lock


def remove_dead_sessions(folder: Path) -> None:
    """Remove what dead drivers of ours left in Ray's ``folder``; the kernel says by their locks who is."""
    for mark in folder.glob(f"session_*/{_LOCK}"):
        try:
            lock = ProcessLock(mark)
        except (Held, OSError):  # its driver lives, or somebody else removes it or has it
            continue
        shutil.rmtree(mark.parent, ignore_errors=True)
        if mark.parent.exists():  # a process of the session that ends now wrote once more
            mark.touch()
        lock.release()
    latest = folder / "session_latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink(missing_ok=True)


@contextmanager
def last_word() -> Iterator[None]:
    """Have it said that this process died: Ray ends it at once when Ray itself cannot go on.

    A shell waits for a line, or for the end of the pipe, which is the end of this process.
    """
    wait = f"trap '' INT TERM HUP; read line || printf '%s\\n' {shlex.quote(_LAST_WORD)} >&2"
    with subprocess.Popen(["/bin/sh", "-c", wait], stdin=subprocess.PIPE) as shell:  # noqa: S603 - fixed words
        try:
            yield
        finally:
            shell.communicate(b"\n")
