"""A process that drives a study and is told one thing after another what to do."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from mmsa.errors import StudyError
from mmsa.search.definition.load import load_space
from mmsa.search.records import Ending, Suggestion
from mmsa.search.study import lease, lease_stores, storage, trial_store
from mmsa.search.study.study import Study

_STALLS = {"stall": threading.Event(), "stall writing": threading.Event()}


def main(pipe: Connection, space: Path, runs: Path, url: str | None, machine: str, hasty: bool) -> None:
    """Open the study, say so, and give each word one answer."""
    if machine:  # the same kernel, but nobody can know
        lease.place_of_process = lambda pid: f"{machine} pid:[1] {pid}/1"
    if hasty:
        trial_store.PAUSES = (0.1, 0.2)
        storage._SECONDS_TO_WAIT = 2
    _beat_quickly()
    try:
        study = Study.open(load_space(str(space)), runs, url)
        pipe.send("open")
        suggestion = None
        while True:
            word = pipe.recv()
            if word == "ask":
                suggestion = study.ask()
                pipe.send(suggestion and f"{suggestion.number} {suggestion.resume}")
            else:
                pipe.send(_do(word, study, suggestion))
    except StudyError as error:
        pipe.send(f"{type(error).__name__} " + str(error).replace("\n", " "))


def _do(line: str, study: Study, suggestion: Suggestion | None) -> object:
    if line in _STALLS:
        return _STALLS[line].set()
    assert suggestion is not None
    if line == "report":
        return study.report(suggestion.number, 1, {"valid/mae": 1.0}, 1.0)
    assert line == "finish"
    return study.finish(suggestion.number, Ending("completed", {"valid/mae": 1.0}))


def _beat_quickly() -> None:
    """The thread that beats is also the one that stops the process, so that the moment is known."""

    def quick(store: lease.LeaseStore, each_beat: Callable[[], None] = lambda: None) -> lease.Lease:
        return lease.Lease(store, lambda: (each_beat(), _stop_if("stall"))[0], term=1.0, interval=0.1)

    def store(*record: Any, real: Callable[..., None] = lease_stores._store) -> None:
        real(*record)
        _stop_if("stall writing")

    storage.Lease, lease_stores._store = quick, store  # type: ignore[assignment,misc]
    event.listen(Engine, "commit", lambda _: _stop_if("stall writing"))


def _stop_if(asked: str) -> None:
    if _STALLS[asked].is_set():
        _STALLS[asked].clear()
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.2)  # another thread may be the one that takes the signal
