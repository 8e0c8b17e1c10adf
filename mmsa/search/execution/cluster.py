"""Ray, started quietly: by default a private local cluster, otherwise one that already runs."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray.exceptions import RayError

from mmsa.errors import StudyError
from mmsa.search.costs import GPU_PARTS, Resources
from mmsa.search.execution.local_ray import RESUMABLE, Job, last_word, local_ray

_WORKER_SETTINGS = {
    # Waiting threads give up their CPU. They would spin by default, and on a machine with other work a step
    # of four threads then took 500 times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
    # A worker that was given no GPU sees none. Ray would leave it all of them, so that every trial trains on
    # the first one.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}
_SETTINGS = {
    **_WORKER_SETTINGS,
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's tables; mmsa.search.progress has ours
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 by default
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the executor has its own
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a diverged trial has no value to report
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the study is the truth; Tune's snapshots are never read
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
_SECONDS_TO_ANSWER = 10.0
_NOTED = 0.05
"""Part of a GPU that is given to nobody, from which on the user is told."""


@contextmanager
def ray_cluster(address: str | None = None, cpus: int | None = None) -> Iterator[None]:
    """Connect to a cluster, unless this process is connected to one already.

    Args:
        address: ``host:port`` of a running cluster; None starts one on this machine, for the context only.
        cpus: that a new local cluster offers; None for all of this machine.

    Raises:
        StudyError: if the cluster cannot be reached, or ends.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for logger in ("ray.tune", "ray.train"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # failures are in the study, with reasons
    if ray.is_initialized():
        yield
        return
    with last_word(), local_ray(cpus) if address is None else _connected(address):
        try:
            yield
        except RayError as error:
            raise StudyError(f"Ray ended: {error}\n{RESUMABLE}") from error


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Connect to a running cluster."""
    _connect(address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        # Ray itself would wait for minutes before it says that nobody answers.
        socket.create_connection((host, int(port)), _SECONDS_TO_ANSWER).close()
        ray.init(
            address=address,
            job_config=Job(),
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": _WORKER_SETTINGS},
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise StudyError(
            f"--ray-address {address}: {error}\n"
            "Give host:port of a running cluster of the same Ray and Python versions; "
            "if it asks for a token, export RAY_AUTH_MODE=token and RAY_AUTH_TOKEN."
        ) from error


@dataclass(frozen=True)
class Slots:
    """What each worker of a trial gets on this cluster, and how many trials run at once.

    Attributes:
        cpus: of each worker.
        gpus: of each worker.
        count: trials at once.
        workers: processes that train one trial together.
        notes: for the user, where this differs from what the space file asks for.
    """

    cpus: float
    gpus: float
    count: int
    workers: int = 1
    notes: tuple[str, ...] = ()

    def bundles(self) -> list[dict[str, float]]:
        """Placement bundles of a trial; a process that leads several workers only waits, and gets nothing."""
        worker = {"CPU": self.cpus, "GPU": self.gpus}
        return [worker] if self.workers == 1 else [{}, *([worker] * self.workers)]


def slots_for(resources: Resources, needs_gpu: bool) -> Slots:
    """Fit ``resources`` to the connected cluster. A smaller cluster runs the same trials, only slower.

    A worker runs on one machine; the workers of a trial may run on several.

    Args:
        resources: what the space file asks for.
        needs_gpu: whether trials cannot run without a GPU.

    Raises:
        StudyError: if no machine can run a worker.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most_cpus, most_gpus = (max(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
    cpus, gpus, notes = float(resources.cpus_per_worker), resources.gpus_per_worker, []
    if cpus > most_cpus:
        notes.append(
            f"the space asks for {cpus:g} CPUs a worker; no machine here has more than {most_cpus:g}"
        )
        cpus = most_cpus
    if needs_gpu and not 0 < gpus <= most_gpus:
        raise StudyError(
            f"train.device is cuda, resources.gpus_per_worker is {gpus:g}, and the best machine has "
            f"{most_gpus:g} GPUs; write device: auto, or resources that are there"
        )
    if gpus > most_gpus:
        notes.append(
            f"the space asks for {gpus:g} GPUs a worker; no machine here has more than {most_gpus:g}"
        )
        gpus = most_gpus
    elif most_gpus and not gpus:
        notes.append("there are GPUs, but the space asks for none (resources.gpus_per_worker)")
    if gpus and (idle := 1.0 - gpus * _sharing(gpus)) >= _NOTED:
        whole = " or ".join(
            f"{GPU_PARTS // count / GPU_PARTS:g}" for count in (_sharing(gpus), _sharing(gpus) + 1)
        )
        notes.append(
            f"at gpus_per_worker {gpus:g} a GPU has room for {_sharing(gpus)}, and {idle:.2g} of it is given "
            f"to nobody; {whole} divides it"
        )
    most = sum(_fitting(node, cpus, gpus) for node in nodes)
    if most == 0:
        raise StudyError(f"no machine of the cluster has both {cpus:g} CPUs and {gpus:g} GPUs for a worker")
    workers = min(resources.workers, most)
    if workers < resources.workers:
        notes.append(f"the space asks for {resources.workers} workers a trial; there is room for {workers}")
    return Slots(cpus, gpus, most // workers, workers, tuple(notes))


def num_fitting(slots: Slots, memory: int) -> int:
    """Number of trials that run at once in such slots if each worker takes ``memory`` bytes."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    workers = [min(_fitting(node, slots.cpus, slots.gpus), int(node["memory"] // memory)) for node in nodes]
    return sum(workers) // slots.workers


def _fitting(node: dict[str, float], cpus: float, gpus: float) -> int:
    by_cpu = int(node.get("CPU", 0.0) // cpus)
    return min(by_cpu, int(node.get("GPU", 0.0)) * _sharing(gpus)) if gpus else by_cpu


def _sharing(gpus: float) -> int:
    """Number of workers on each GPU. None is on two, and Ray counts in parts: 1.0 // 0.2 would be 4."""
    return GPU_PARTS // round(gpus * GPU_PARTS)
