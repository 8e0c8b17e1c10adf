"""Retrainings whose process was killed: nobody else would ever tell MLflow that they do not run."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from mmsa.places import has_ended, place_of_process
from mmsa.tracking.location import all_pages
from mmsa.tracking.notes import write_run_note

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SILENT_SECONDS = 3600.0
"""After which a retraining of another machine counts as abandoned; trials are given as long."""

_PLACE, _PROCESS = "mmsa.place", "mmsa.process"


def tags_of_this_process() -> dict[str, str]:
    """Tags by which ``end_abandoned`` knows later whether this process lives."""
    return {
        _PLACE: place_of_process(os.getpid()),
        _PROCESS: f"process {os.getpid()} on {socket.gethostname()}",
    }


def end_abandoned(client: MlflowClient, experiment: str) -> int:
    """End the retrainings of an experiment whose process is gone, as killed and with a note; how many.

    Of a process on this machine the kernel knows. One elsewhere counts as gone when MLflow heard nothing of
    it for ``SILENT_SECONDS``; if it lives all the same, what it writes at its end is true again.
    """
    running = "attributes.status = 'RUNNING' AND tags.`mmsa.role` = "
    found = all_pages(client.search_runs, [experiment], f"{running}'retrain'")
    abandoned = [run for run in found if _is_abandoned(client, experiment, run)]
    for run in abandoned:
        for seed in _seeds(client, experiment, run):
            if seed.info.status == "RUNNING":
                client.set_terminated(seed.info.run_id, "KILLED")
        who = run.data.tags.get(_PROCESS, "its process")
        write_run_note(
            client,
            run.info.run_id,
            f"**Ended without a result**: {who} is gone, and did not say so. Test was opened only if the "
            "ledger says so. The same `launch/retrain.py` command trains anew, as a run of its own.",
        )
        # Last: what was cut short before is found again.
        client.set_terminated(run.info.run_id, "KILLED")
    return len(abandoned)


def _is_abandoned(client: MlflowClient, experiment: str, run: Run) -> bool:
    gone = has_ended(run.data.tags.get(_PLACE, ""))
    if gone is not None:
        return gone
    everyone = [run, *_seeds(client, experiment, run)]
    said = max(_last_said(client, one) for one in everyone)
    return time.time() - said / 1000 > SILENT_SECONDS


def _last_said(client: MlflowClient, run: Run) -> int:
    """When a run was given its last number, in milliseconds; any curve has a point for each epoch."""
    curve = next(iter(run.data.metrics), None)
    points = client.get_metric_history(run.info.run_id, curve) if curve else []
    return max([int(run.info.start_time), *(int(point.timestamp) for point in points)])


def _seeds(client: MlflowClient, experiment: str, run: Run) -> list[Run]:
    children = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    return all_pages(client.search_runs, [experiment], children)
