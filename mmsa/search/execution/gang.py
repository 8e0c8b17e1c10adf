"""A gang: processes that train one trial together, and the next one, and the next.

Processes, imports, corpora and the process group are made once. The trial's own process starts them in the
placement group that Tune gave it and takes no part in the training, so that it can always tell a process that
died or hangs, and never waits in a collective itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import ray
import torch.distributed as dist
from ray import tune
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from mmsa.data import Corpus
from mmsa.errors import WorkerLost
from mmsa.search.corpora import Corpora
from mmsa.search.execution.cluster import Slots
from mmsa.search.execution.network import LOOPBACK, interface_of, listening_socket
from mmsa.search.execution.trial import Assignment, Report, SearchTrial, TrialRun, Workplace, settle
from mmsa.training import Team

_SECONDS_TO_FOLLOW = 5.0
"""How long the others have to end a trial as the first process did, before they count as stuck."""
_SECONDS_TO_CLOSE = 30.0


class Rank:
    """One process of a gang. What it is told, all others are told as well."""

    def __init__(self, rank: int, size: int, corpora: tuple[Corpus, Corpus], workplace: Workplace):
        settle(workplace)
        self._rank, self._size, self._workplace = rank, size, workplace
        self._corpora = Corpora(*corpora, workplace.base, workplace.cache)
        self._store: TCPStore | None = None
        self._run: TrialRun

    def whereabouts(self) -> tuple[str, int]:
        """The address of the machine, and the process."""
        return ray.util.get_node_ip_address(), os.getpid()

    def host_rendezvous(self, address: str) -> int:
        """Open the store in which the others find this process; the port on ``address``."""
        socket = listening_socket(address)
        port: int = socket.getsockname()[1]
        patience = timedelta(seconds=self._workplace.collective_seconds)
        self._store = TCPStore(
            address,
            port,
            self._size,
            True,
            patience,
            wait_for_workers=False,
            master_listen_fd=socket.detach(),
        )
        return port

    def join(self, address: str, port: int, own_address: str, on_gpu: str) -> None:
        """Become one of the process group: gloo for what is on CPUs, and ``on_gpu`` for the rest."""
        patience = timedelta(seconds=self._workplace.collective_seconds)
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ[variable] = interface_of(own_address)
        store = self._store or TCPStore(address, port, self._size, False, patience)
        dist.init_process_group(
            f"cpu:gloo,cuda:{on_gpu}", store=store, rank=self._rank, world_size=self._size, timeout=patience
        )

    def begin(self, assignment: Assignment) -> None:
        """Take up a trial."""
        self._run = TrialRun(assignment, self._workplace, self._corpora, Team(dist.group.WORLD))

    def advance(self) -> Report:
        """Train an epoch of the trial, as ``TrialRun.advance``."""
        return self._run.advance()

    def close(self) -> None:
        """Lay the trial down."""
        self._run.close()
        del self._run  # with all that it holds


class Gang:
    """The processes, started when they are first needed and again when one of them was lost.

    Args:
        group: with a bundle for each process.
        room: what each of them gets.
        corpora: in Ray's store, the raw and the encoded one.
    """

    def __init__(self, group: PlacementGroup, room: Slots, corpora: ray.ObjectRef[Any], workplace: Workplace):
        self._group, self._room, self._corpora, self._workplace = group, room, corpora, workplace
        self._ranks: list[Any] = []
        self.processes: tuple[int, ...] = ()

    def start(self) -> None:
        """Start processes and process group, unless they are there."""
        if self._ranks:
            return
        size = self._room.workers
        self._ranks = [
            ray.remote(Rank)
            .options(
                num_cpus=self._room.cpus,
                num_gpus=self._room.gpus,
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, bundle),
            )
            .remote(bundle, size, self._corpora, self._workplace)
            for bundle in range(size)
        ]
        try:
            self._meet()
        except BaseException:
            self.stop()
            raise

    def _meet(self) -> None:
        """Let all processes join one group."""
        places = ray.get(self._tell("whereabouts"))
        addresses = [address for address, _ in places]
        self.processes = tuple(process for _, process in places)
        if len(set(addresses)) == 1:
            addresses = [LOOPBACK] * len(addresses)  # nobody else can connect
        port = ray.get(self._ranks[0].host_rendezvous.remote(addresses[0]))
        # NCCL refuses two processes on one GPU.
        on_gpu = "nccl" if self._room.gpus >= 1 else "gloo"
        ray.get(
            [
                rank.join.remote(addresses[0], port, own, on_gpu)
                for rank, own in zip(self._ranks, addresses, strict=True)
            ]
        )

    def stop(self) -> None:
        """End the processes, whatever they do."""
        for rank in self._ranks:
            ray.kill(rank)
        self._ranks = []

    def _tell(self, method: str, *details: Any) -> list[ray.ObjectRef[Any]]:
        return [getattr(rank, method).remote(*details) for rank in self._ranks]

    def begin(self, assignment: Assignment) -> None:
        """Let all processes take up a trial."""
        self.start()
        ray.get(self._tell("begin", assignment))

    def advance(self) -> Report:
        """Let all processes train an epoch.

        What one process says of the configuration, such as that its memory is too small, counts for all.

        Raises:
            RayError: when a process died.
            WorkerLost: when one did not answer.
        """
        calls = self._tell("advance")
        first, others = ray.wait(calls, num_returns=1)  # an epoch takes as long as it takes
        well = isinstance(result := _result(first[0]), Report) and result.outcome in ("running", "completed")
        patience = self._workplace.collective_seconds if well else _SECONDS_TO_FOLLOW
        answered, _ = ray.wait(others, num_returns=len(others), timeout=patience)
        results = [_result(call) if call in (*first, *answered) else None for call in calls]
        reports = [result for result in results if isinstance(result, Report)]
        if len(reports) == len(calls) and len({report.outcome for report in reports}) == 1:
            return reports[0]
        self.stop()  # they are out of step, or stuck
        return _verdict(results)

    def close(self) -> None:
        """Let all processes lay the trial down; those that cannot are replaced for the next one."""
        try:
            ray.get(self._tell("close"), timeout=_SECONDS_TO_CLOSE)
        except RayError:
            self.stop()


def _result(call: ray.ObjectRef[Report]) -> Report | RayError:
    try:
        return cast(Report, ray.get(call))
    except RayError as error:
        return cast(RayError, error)


def _verdict(results: Sequence[Report | RayError | None]) -> Report:
    """What is true of a trial of which its processes say different things; None is a process that is stuck.

    Divergence and lack of memory are results wherever they happen. Any other failure may be the echo of a
    process that died, and is a result only where none did.
    """
    reports = [result for result in results if isinstance(result, Report)]
    for report in reports:
        if report.outcome in ("diverged", "out_of_memory"):
            return report
    errors = [result for result in results if isinstance(result, RayError)]
    for error in errors:
        if not isinstance(error, RayTaskError):
            raise error
    for report in reports:
        if report.outcome == "failed":
            return report
    silent = [str(rank) for rank, result in enumerate(results) if result is None]
    raise WorkerLost(
        f"of {len(results)} processes, {', '.join(silent) or 'none'} did not answer, and "
        f"{len(errors)} lost the others" + "".join(f"\n{error}" for error in errors[:1])
    )


class GangRun:
    """A trial in progress in a gang, as ``TrialRun`` is one in a single process."""

    def __init__(self, gang: Gang, assignment: Assignment):
        self._gang = gang
        gang.begin(assignment)

    def advance(self) -> Report:
        """Train one epoch; as ``TrialRun.advance``."""
        report = self._gang.advance()
        return replace(report, notes={**report.notes, "processes": list(self._gang.processes)})

    def close(self) -> None:
        """Lay the trial down."""
        self._gang.close()


class GangTrial(SearchTrial):
    """The adapter to Ray Tune for trials of several processes."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], corpora: Sequence[ray.ObjectRef[Any]], workplace: Workplace, room: Slots
    ) -> None:
        """Called once a gang."""
        self._workplace, self._run, self._reported = workplace, None, 0
        self._gang = Gang(ray.util.get_current_placement_group(), room, corpora[0], workplace)
        self._gang.start()

    def _begin(self, assignment: Assignment) -> GangRun:
        return GangRun(self._gang, assignment)

    def cleanup(self) -> None:
        """Called when the gang ends."""
        super().cleanup()
        self._gang.stop()


def trainable_for(room: Slots, corpora: tuple[Corpus, Corpus], workplace: Workplace) -> type[SearchTrial]:
    """What Tune runs for each trial; the corpora are in Ray's store, once a node."""
    if room.workers == 1:
        alone: type[SearchTrial] = tune.with_parameters(SearchTrial, corpora=corpora, workplace=workplace)
        return alone
    # In a list, the reference reaches the ranks as it is; the process that starts them needs no corpus.
    together: type[SearchTrial] = tune.with_parameters(
        GangTrial, corpora=[ray.put(corpora)], workplace=workplace, room=room
    )
    return together
