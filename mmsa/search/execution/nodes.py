"""The nodes of a cluster, asked before the first trial: the same code, packages, folders and time?"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mmsa.config import expand_path
from mmsa.errors import StudyError
from mmsa.experiment import RunConfig
from mmsa.provenance import Code, running_code
from mmsa.search.execution import node_facts
from mmsa.search.execution.node_facts import NONCE, PACKAGES, NodeFacts, facts

_SECONDS_TO_ANSWER = 60.0  # for the first process of a node to start
_CLOCK = 5.0  # seconds that the clocks of two nodes may differ
OTHER_CODE = "other code than the driver"
"""Words in the refusal of a process that runs such code."""


def refuse_other_code(expected: Code, found: Code, where: str) -> None:
    """Refuse a process that runs other code than the driver.

    Raises:
        StudyError: naming both codes.
    """
    if (found.digest, found.extensions) != (expected.digest, expected.extensions):
        what = str(found) if found.path else "none at all"
        raise StudyError(
            f"{where} runs {OTHER_CODE}: {what}, and the driver {expected}. Install the same mmsa and "
            "extensions there, or set PYTHONPATH to what all can read; if files were edited while the search "
            "ran, start it again: what runs goes on from its checkpoints."
        )


def read_by_trials(base: RunConfig) -> list[Path]:
    """Paths that trials read for themselves: a store, which is mapped, and the weights of a text encoder.

    Other data reach the nodes through Ray.
    """
    text = getattr(base.model, "text", None)
    given = [getattr(base.data, "path", ""), getattr(text, "path", "")]
    paths = [expand_path(path) for path in given if path and not path.startswith("package:")]
    return [path.resolve() for path in paths if path.is_dir()]


def check_nodes(say: Callable[[str], None], folder: Path | None = None, paths: Sequence[Path] = ()) -> None:
    """Refuse a cluster on which trials would fail one after the other.

    Args:
        say: takes a line for the user, of what differs and may stay so.
        folder: of runs, which all nodes must share; None leaves it unchecked.
        paths: that trials read.

    Raises:
        StudyError: with everything that is wrong with any node.
    """
    answers = ask_nodes(folder, paths)
    for answer in answers:
        refuse_other_code(running_code(), Code(*answer.code), f"node {answer.node}")
    wrong = [line for answer in answers for line in troubles(answer, folder)]
    if wrong:
        raise StudyError("\n".join(["the nodes of the cluster do not fit together:", *wrong]))
    for answer in answers:
        if abs(answer.ahead) > _CLOCK:
            side = "ahead of" if answer.ahead > 0 else "behind"
            say(
                f"note: the clock of node {answer.node} is {abs(answer.ahead):.0f} s {side} the driver's; no "
                "decision depends on it, but times in MLflow and logs do. Synchronise the nodes (NTP)."
            )


def troubles(answer: NodeFacts, folder: Path | None) -> Iterator[str]:
    """What keeps a node from taking part, in words with what to do, its code aside."""
    here = facts("", "", "", ())["versions"]
    for name in PACKAGES:
        there = answer.versions.get(name, "")
        if there != here[name]:
            what = f"has {name} {there}" if there else f"has no {name}"
            yield (
                f"  node {answer.node} {what}, the driver {here[name]}: the same trial would give other "
                "numbers there. Install from the same constraints.txt."
            )
    if answer.folder:
        yield (
            f"  node {answer.node}: the folder of runs {folder} {answer.folder}. Checkpoints and caches go "
            "there: give --runs a folder that all nodes mount at the same path and may write."
        )
    for path in answer.unseen:
        yield (
            f"  node {answer.node} does not see {path}. Mount it there at the same path, or write a path "
            "that all nodes have."
        )


def ask_nodes(folder: Path | None = None, paths: Sequence[Path] = ()) -> list[NodeFacts]:
    """The answers of all nodes that run trials; nodes that do not answer are left to their workers."""
    sent = (node_facts, *node_facts.SENT)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    with _probe(folder) as (place, nonce):
        # By value: a node with another mmsa may not have the function that it is asked to call.
        for module in sent:
            ray.cloudpickle.register_pickle_by_value(module)
        try:
            ask = ray.remote(num_cpus=0, max_retries=0)(facts)
            began = time.time()
            asked = [
                ask.options(
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                ).remote(node["NodeManagerAddress"], str(place or ""), nonce, [str(path) for path in paths])
                for node in nodes
            ]
        finally:
            for module in sent:
                ray.cloudpickle.unregister_pickle_by_value(module)
        return list(_answers(asked, began, place))


def _answers(asked: Sequence[ray.ObjectRef], began: float, place: Path | None) -> Iterator[NodeFacts]:
    waiting = list(asked)
    deadline = time.monotonic() + _SECONDS_TO_ANSWER
    while waiting and (left := deadline - time.monotonic()) > 0:
        done, waiting = ray.wait(waiting, num_returns=1, timeout=left)
        for reference in done:
            with suppress(RayError):
                answer = NodeFacts(**ray.get(reference))
                # The clock was read at some moment since the question; only what lies outside is an offset.
                ahead = min(answer.clock - began, 0.0) or max(answer.clock - time.time(), 0.0)
                hidden = place is not None and not answer.folder and not (place / answer.mark).exists()
                trouble = "does not show here what is written there" if hidden else answer.folder
                yield replace(answer, ahead=ahead, folder=trouble)


@contextmanager
def _probe(folder: Path | None) -> Iterator[tuple[Path | None, str]]:
    """A folder below ``folder`` with a word in it that only this driver knows; gone afterwards."""
    nonce = secrets.token_hex(16)
    if folder is None:
        yield None, nonce
        return
    place = folder.resolve() / f".mmsa-nodes-{nonce[:8]}"
    place.mkdir(parents=True)
    try:
        (place / NONCE).write_text(nonce, encoding="utf-8")
        yield place, nonce
    finally:
        shutil.rmtree(place, ignore_errors=True)
