"""A gang: processes that train one trial together, then the next one, and so on.

Processes, imports, corpora and the process group are made once. The trial's own process starts the others in
the placement group that Tune gave it and takes no part in the training: it never waits in a collective
itself, and so can always tell that another process died or hangs.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
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

from mmsa.data.corpus import Corpus
from mmsa.errors import WorkerLost
from mmsa.search.corpora import Corpora
from mmsa.search.execution.cluster import Slots
from mmsa.search.execution.trial import (
    Assignment,
    Report,
    SearchTrial,
    TrialRun,
    WorkerContext,
    prepare_worker,
)
from mmsa.training.parallel import Team

_SECONDS_TO_FOLLOW = 5.0
"""How long the others have to end a trial as the first process did before they count as stuck."""
_SECONDS_TO_CLOSE = 30.0
LOOPBACK = "127.0.0.1"
_ADDRESS_OF_INTERFACE = 0x8915  # SIOCGIFADDR of Linux
_REQUEST = "256s"


class Rank:
    """One process of a gang, which is always told the same as all others."""

    def __init__(self, rank: int, size: int, corpora: tuple[Corpus, Corpus], context: WorkerContext):
        prepare_worker(context)
        self._rank, self._size, self._context = rank, size, context
        self._corpora = Corpora(*corpora, context.base, context.cache)
        self._store: TCPStore | None = None
        self._run: TrialRun

    def whereabouts(self) -> tuple[str, int]:
        """The address of the machine, and the process ID."""
        return ray.util.get_node_ip_address(), os.getpid()

    def host_rendezvous(self, address: str) -> int:
        """Open the store through which the others find this process; returns its port on ``address``."""
        listening = listening_socket(address)
        port: int = listening.getsockname()[1]
        patience = timedelta(seconds=self._context.collective_seconds)
        self._store = TCPStore(
            address,
            port,
            self._size,
            True,
            patience,
            wait_for_workers=False,
            master_listen_fd=listening.detach(),
        )
        return port

    def join(self, address: str, port: int, own_address: str, on_gpu: str) -> None:
        """Join the process group: gloo for tensors on CPUs, and ``on_gpu`` for the others."""
        patience = timedelta(seconds=self._context.collective_seconds)
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ[variable] = interface_of(own_address)
        store = self._store or TCPStore(address, port, self._size, False, patience)
        dist.init_process_group(
            f"cpu:gloo,cuda:{on_gpu}", store=store, rank=self._rank, world_size=self._size, timeout=patience
        )

    def begin(self, assignment: Assignment) -> None:
        """Begin a trial."""
        self._run = TrialRun(assignment, self._context, self._corpora, Team(dist.group.WORLD))

    def advance(self) -> Report:
        """Train one epoch of the trial; see ``TrialRun.advance``."""
        return self._run.advance()

    def close(self) -> None:
        """Release the trial."""
        self._run.close()
        del self._run  # and all that it holds


class Gang:
    """The processes of a gang, started when they are first needed and again after one of them was lost.

    Args:
        group: placement group with a bundle for each process.
        slots: what each of them gets.
        corpora: in Ray's store, the raw and the encoded one.
    """

    def __init__(
        self, group: PlacementGroup, slots: Slots, corpora: ray.ObjectRef[Any], context: WorkerContext
    ):
        self._group, self._slots, self._corpora, self._context = group, slots, corpora, context
        self._ranks: list[Any] = []
        self.processes: tuple[int, ...] = ()

    def start(self) -> None:
        """Start the processes and their process group, unless they exist."""
        if self._ranks:
            return
        size = self._slots.workers
        self._ranks = [
            ray.remote(Rank)
            .options(
                num_cpus=self._slots.cpus,
                num_gpus=self._slots.gpus,
                scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, bundle),
            )
            .remote(bundle, size, self._corpora, self._context)
            for bundle in range(size)
        ]
        try:
            self._meet()
        except BaseException:
            self.stop()
            raise

    def _meet(self) -> None:
        """Make all processes join one group."""
        places = ray.get(self._tell("whereabouts"))
        addresses = [address for address, _ in places]
        self.processes = tuple(process for _, process in places)
        if len(set(addresses)) == 1:
            addresses = [LOOPBACK] * len(addresses)  # where nobody else can connect
        port = ray.get(self._ranks[0].host_rendezvous.remote(addresses[0]))
        # NCCL refuses two processes on one GPU.
        on_gpu = "nccl" if self._slots.gpus >= 1 else "gloo"
        ray.get(
            [
                rank.join.remote(addresses[0], port, own, on_gpu)
                for rank, own in zip(self._ranks, addresses, strict=True)
            ]
        )

    def stop(self) -> None:
        """Kill the processes, whatever they are doing."""
        for rank in self._ranks:
            ray.kill(rank)
        self._ranks = []

    def _tell(self, method: str, *details: Any) -> list[ray.ObjectRef[Any]]:
        return [getattr(rank, method).remote(*details) for rank in self._ranks]

    def begin(self, assignment: Assignment) -> None:
        """Begin a trial in all processes."""
        self.start()
        ray.get(self._tell("begin", assignment))

    def advance(self) -> Report:
        """Train one epoch in all processes.

        What one process reports about the configuration, such as a lack of memory, counts for all.

        Raises:
            RayError: if a process died.
            WorkerLost: if a process did not answer.
        """
        # The first answer says what to expect of the others: as they meet in collectives, a healthy epoch
        # ends in all within the time-out of these, and a failure in one leaves the others stuck or failing.
        calls = self._tell("advance")
        first, others = ray.wait(calls, num_returns=1)  # an epoch takes as long as it takes
        well = isinstance(result := _result(first[0]), Report) and result.outcome in ("running", "completed")
        patience = self._context.collective_seconds if well else _SECONDS_TO_FOLLOW
        answered, _ = ray.wait(others, num_returns=len(others), timeout=patience)
        results = [_result(call) if call in (*first, *answered) else None for call in calls]
        reports = [result for result in results if isinstance(result, Report)]
        if len(reports) == len(calls) and len({report.outcome for report in reports}) == 1:
            return reports[0]
        self.stop()  # out of step or stuck: only new processes can run the next trial
        return _verdict(results)

    def close(self) -> None:
        """Release the trial in all processes; if one cannot, all are replaced for the next trial."""
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
    """The report that counts where processes report different things; a stuck process has None.

    Divergence and lack of memory are results wherever they happen. Any other failure may only echo the death
    of another process, and is a result only if none died.
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
    """A trial in progress in a gang; the counterpart of ``TrialRun`` in a single process."""

    def __init__(self, gang: Gang, assignment: Assignment):
        self._gang = gang
        gang.begin(assignment)

    def advance(self) -> Report:
        """Train one epoch; see ``TrialRun.advance``."""
        report = self._gang.advance()
        return replace(report, notes={**report.notes, "processes": list(self._gang.processes)})

    def close(self) -> None:
        """Release the trial."""
        self._gang.close()


class GangTrial(SearchTrial):
    """Adapter to Ray Tune for trials of several processes."""

    def setup(  # type: ignore[override]
        self,
        config: dict[str, Any],
        corpora: Sequence[ray.ObjectRef[Any]],
        context: WorkerContext,
        slots: Slots,
    ) -> None:
        """Start the gang; called once for each."""
        self._context, self._run, self._reported = context, None, 0
        self._gang = Gang(ray.util.get_current_placement_group(), slots, corpora[0], context)
        self._gang.start()

    def _begin(self, assignment: Assignment) -> GangRun:
        return GangRun(self._gang, assignment)

    def cleanup(self) -> None:
        """End the gang."""
        super().cleanup()
        self._gang.stop()


def trainable_for(slots: Slots, corpora: tuple[Corpus, Corpus], context: WorkerContext) -> type[SearchTrial]:
    """The class that Tune runs trials with; puts the corpora into Ray's store, once a node."""
    if slots.workers == 1:
        alone: type[SearchTrial] = tune.with_parameters(SearchTrial, corpora=corpora, context=context)
        return alone
    # Inside a list the reference is not resolved, so it reaches the ranks as it is: the process that starts
    # them needs no corpus.
    together: type[SearchTrial] = tune.with_parameters(
        GangTrial, corpora=[ray.put(corpora)], context=context, slots=slots
    )
    return together


def listening_socket(address: str) -> socket.socket:
    """A socket that listens on a free port of ``address``, and on no other address."""
    return socket.create_server((address, 0))


def interface_of(address: str) -> str:
    """The name of the network interface that has the IPv4 ``address``.

    gloo and NCCL want names. Left alone, gloo takes the address that the host's name resolves to, which is a
    loopback address on many machines.

    Raises:
        OSError: if no interface has it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                request = struct.pack(_REQUEST, name.encode())
                answer = fcntl.ioctl(any_socket, _ADDRESS_OF_INTERFACE, request)
            except OSError:  # an interface without an address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    raise OSError(f"no network interface of {socket.gethostname()} has the address {address}")
