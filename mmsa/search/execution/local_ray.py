"""Ray on this machine for one search: its start, the files it leaves behind, and a message when it dies."""

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

_LOCK = "mmsa.lock"  # in the folder of a Ray session that one of our drivers started
_STARTS = 3  # on a machine that is busy with other work
_TOO_SLOW = "timed out during startup"  # words of Ray's
_VITAL = ("raylet", "gcs_server")
RESUMABLE = (
    "Nothing that the study holds is lost, and what ran goes on from its checkpoints: run the same command "
    "again."
)
"""Advice after Ray ended a search."""
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

    Ray puts the folder of the script and the working folder first. A ``random.py`` there would be taken for
    Python's, and a second checkout for the code that this process runs.
    """

    @override
    def _serialize(self) -> bytes:
        self._py_driver_sys_path: list[str] = []
        serialized: bytes = super()._serialize()
        return serialized


@contextmanager
def local_ray(cpus: int | None) -> Iterator[None]:
    """A cluster on this machine for the context; removes its files afterwards, and those of dead drivers.

    Args:
        cpus: that it offers; None for all.

    Raises:
        StudyError: if it cannot start.
    """
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        # Ray would write a token into the home folder, which may be read-only; this one ends with this
        # process.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ["PYTHONPATH"] = python_path()
    try:
        _start(cpus)
    except (
        Exception
    ) as error:  # anything from a socket's path that is too long to processes that do not start
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


def _start(cpus: int | None) -> None:
    """Start Ray; again if it gave up waiting for itself, which it does after 30 seconds, whatever is set."""
    for left in reversed(range(_STARTS)):
        try:
            with _hangups_held():
                ray.init(
                    address="local",  # without it, Ray joins whatever cluster was started on this machine
                    job_config=Job(),
                    num_cpus=cpus,
                    num_gpus=_parts_of_cards(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            return
        except Exception as error:
            if not left or _TOO_SLOW not in str(error):
                raise
            ray.shutdown()


def _parts_of_cards() -> int | None:
    """How many parts of cards in MIG mode this process may use; None leaves it to Ray, which counts cards."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return len(names) if any(name.startswith("MIG-") for name in names) else None


def refuse_dead_ray() -> None:
    """Check that the cluster that this process started still lives.

    Raises:
        StudyError: if one of its vital processes died.
    """
    node = ray._private.worker._global_node
    dead = [kind for kind, _ in node.dead_processes() if kind in _VITAL] if node is not None else []
    if dead:
        raise StudyError(f"Ray's {' and '.join(dead)} died, and with it the trials' processes. {RESUMABLE}")


@contextmanager
def _hangups_held() -> Iterator[None]:
    """Block SIGHUP in processes that start in the context: a terminal sends it to all, the driver decides."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _marked(session: Path) -> ProcessLock:
    """The lock by which others see that the session's driver lives; moved into place only once it is held."""
    new = session / f"{_LOCK}.new"
    lock = ProcessLock(new)
    new.replace(session / _LOCK)
    return lock


def remove_dead_sessions(folder: Path) -> None:
    """Remove the sessions of dead drivers of ours from Ray's ``folder``; a free lock means a dead driver."""
    for mark in folder.glob(f"session_*/{_LOCK}"):
        try:
            lock = ProcessLock(mark)
        except (Held, OSError):  # its driver lives, or another process is removing it
            continue
        shutil.rmtree(mark.parent, ignore_errors=True)
        if mark.parent.exists():  # a dying process of the session has written once more
            mark.touch()
        lock.release()
    latest = folder / "session_latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink(missing_ok=True)


@contextmanager
def last_word() -> Iterator[None]:
    """Print a message if this process is killed within the context.

    Ray ends this process at once when Ray itself cannot go on. So a shell waits for a line, or for the end of
    the pipe, which means the end of this process.
    """
    wait = f"trap '' INT TERM HUP; read line || printf '%s\\n' {shlex.quote(_LAST_WORD)} >&2"
    with subprocess.Popen(["/bin/sh", "-c", wait], stdin=subprocess.PIPE) as shell:  # noqa: S603 - fixed words
        try:
            yield
        finally:
            shell.communicate(b"\n")
