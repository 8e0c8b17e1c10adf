"""The cost of a run: its steps, its parameters, and the time of a step, measured on its first steps."""

from __future__ import annotations

import time
from itertools import islice, pairwise
from pathlib import Path
from statistics import median

import torch

from mmsa.data.corpus import Corpus
from mmsa.experiment import RunConfig
from mmsa.training.learner import Learner
from mmsa.training.plan import num_steps
from mmsa.training.runtime import Runtime
from mmsa.training.trainer import Position, Trainer


def time_step(config: RunConfig, corpus: Corpus, steps: int = 3, *, cache: Path | None = None) -> float:
    """Seconds of one optimiser step, without evaluation.

    The median of ``steps`` steps after a warm-up step, measured for each pass of the first epoch (estimator
    passes are cheaper) and averaged by their numbers of batches: ``count_steps`` times this is the time of a
    run.
    """
    # Some steps of the last pass come first: terms also use what they kept of the epoch before, and that
    # costs time.
    trainer = Trainer(config, corpus.fold(0) if corpus.folds else corpus, cache)
    passes = trainer.plan[0]
    with trainer.runtime.active():
        _median_of_pass(trainer, len(passes) - 1, steps)
        medians = [_median_of_pass(trainer, index, steps) for index in range(len(passes))]
    batches = [part.num_batches for part in passes]
    return sum(seconds * count for seconds, count in zip(medians, batches, strict=True)) / sum(batches)


def _median_of_pass(trainer: Trainer, index: int, steps: int) -> float:
    trainer.position = Position(index=index)
    moments = [time.perf_counter()]
    for _ in islice(trainer.steps(), min(steps + 1, trainer.plan[0][index].num_batches)):
        if trainer.runtime.device.type == "cuda":
            torch.cuda.synchronize(trainer.runtime.device)
        moments.append(time.perf_counter())
    durations = [after - before for before, after in pairwise(moments)]
    return median(durations[1:] or durations)


def count_steps(config: RunConfig, corpus: Corpus, *, cache: Path | None = None) -> int:
    """Optimiser steps of a run that does not stop early, of all folds where it has some."""
    if corpus.folds:
        return sum(count_steps(config, corpus.fold(n), cache=cache) for n in range(len(corpus.folds)))
    return num_steps(Trainer(config, corpus, cache).plan)


def count_parameters(config: RunConfig, corpus: Corpus, *, cache: Path | None = None) -> int:
    """How many numbers a run trains, in model and objective."""
    runtime = Runtime.of(config.train)
    with runtime.active():  # a Trainer would also load torch's compiler: seconds of a search's start
        return Learner(config, corpus, runtime, cache).num_parameters
