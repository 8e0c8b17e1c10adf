"""Two real processes in one run: dropout, checkpoints, and a process that leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from two_processes import in_two_processes

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.errors import CheckpointError, ConfigError, WorkerLost
from mmsa.experiment import RunConfig
from mmsa.training import Team, epochs
from mmsa.training.checkpoint import read_checkpoint
from mmsa.training.trainer import Trainer

CONFIG = parse(
    RunConfig,
    {
        "data": {"name": "planted", "rows_train": 45, "rows_valid": 21},
        "model": {"name": "mmim", "fusion": {"name": "mlp", "dropout": 0.5}},
        "train": {"epochs": 3, "batch_size": 15, "threads": 1, "device": "cpu", "average": 0.5},
    },
    "tests",
)


def refused(trainer: Trainer, checkpoint: Path) -> str:
    """What ``resume`` says; of these two checkpoints only the first process can read its own."""
    try:
        trainer.resume(checkpoint)
    except CheckpointError as error:
        return str(error)
    return ""


def means(team: Team, rank: int, bucket: int) -> list[Any]:
    """Gradients of three parameters, one of which the loss does not depend on."""
    parameters = [nn.Parameter(torch.ones(n)) for n in (2, 3, 4)]
    with team.averaging(parameters, bucket):
        ((1 + rank) * (parameters[0].sum() + 2 * parameters[2].sum())).backward()
    parameters[0].sum().backward()  # on its own again: a hook that is left would wait for the other process
    return [None if p.grad is None else p.grad.tolist() for p in parameters]


def work(rank: int, folder: str) -> dict[str, Any]:
    team, corpus = Team(dist.group.WORLD), open_corpus(CONFIG.data, ("train", "valid"))
    found: dict[str, Any] = {}
    torch.manual_seed(0)
    with team.own_randomness(1):
        found["own"] = torch.rand(3)
    found["common"] = torch.rand(3)

    found["means"] = [means(team, rank, bucket) for bucket in (1, 16, 10**6)]

    own = Path(folder) / f"written by {rank}"
    run = epochs(CONFIG, corpus, team=team)
    first = next(run)
    first.save(own)
    found["wrote"] = own.exists()
    found["history"] = [*run][-1].history
    dist.barrier()
    shared = Path(folder) / "written by 0"
    found["resumed"] = [*epochs(CONFIG, corpus, resume=shared, team=team)][-1].history
    found["refused"] = refused(Trainer(CONFIG, corpus, team=team), own)
    if rank == 0:  # the other one has left
        try:
            next(epochs(CONFIG, corpus, team=team))
        except WorkerLost as error:
            found["lost"] = str(error)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict[str, Any]]:
    return in_two_processes(work, folder)


def test_each_process_draws_for_its_own_rows_and_all_draw_alike_for_the_batch(both):
    assert not torch.equal(both[0]["own"], both[1]["own"])
    assert torch.equal(both[0]["common"], both[1]["common"])


def test_gradients_are_averaged_in_buckets_of_any_size(both):
    expected = [[1.5 + 1] * 2, None, [3.0] * 4]
    assert [found["means"] for found in both] == [[expected] * 3] * 2


def test_processes_stay_the_same_with_dropout_and_a_moving_average(both):
    assert both[0]["history"] == both[1]["history"]
    assert len(both[0]["history"]) == 3


def test_the_first_process_writes_and_all_continue_exactly(both):
    assert [found["wrote"] for found in both] == [True, False]
    assert both[0]["resumed"] == both[1]["resumed"] == both[0]["history"]


def test_a_checkpoint_that_one_process_cannot_read_is_refused_in_all(both, folder):
    assert both[0]["refused"].startswith("another process of this run cannot continue from")
    assert both[1]["refused"].startswith(f"{folder / 'written by 1'} holds no")


def test_a_process_that_is_left_alone_says_so(both):
    assert both[0]["lost"].startswith("a process that trains the same run died, or does not answer")


def test_one_process_continues_what_two_began(folder, both):
    """The number of processes is no part of a run, only the dropout is another."""
    corpus = open_corpus(CONFIG.data, ("train", "valid"))
    alone = Trainer(CONFIG, corpus)
    alone.resume(folder / "written by 0")
    state = read_checkpoint(folder / "written by 0", {})
    assert (alone.position.epoch, alone.history) == (1, state["history"])
    alone.train_epoch()


class OfThree(Team):
    """Of three processes, as far as sizes go."""

    size = 3


@pytest.mark.parametrize(
    ("model", "smallest", "said"),
    [
        (nn.Linear(2, 2), 2, "train.batch_size: 2\n      gives batches of 2 rows, too few for 3 workers"),
        (nn.Sequential(nn.BatchNorm1d(2)), 3, "normalises over a batch"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(model, smallest, said):
    with pytest.raises(ConfigError, match=said):
        OfThree().refuse_misfit(model, smallest)
    Team().refuse_misfit(model, smallest)
