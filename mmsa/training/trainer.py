"""The state of a run, and what changes it: a step, the end of an epoch, a checkpoint.

On a CPU a run is a pure function of configuration, corpus and number of threads. Weights are drawn from
``config.seed``, the order of batches from the seed and the number of the pass, and all other randomness of an
epoch from the seed and the number of the epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.linalg import LinAlgError  # type: ignore[attr-defined]
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mmsa.data.batches import Batch, Batches, without_some
from mmsa.data.corpus import Corpus, Split
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import CheckpointError, TrainingDiverged
from mmsa.experiment import RunConfig, without_later_defaults
from mmsa.objectives.strategies import STRATEGIES
from mmsa.seeding import derive_seed, random_state, restore_random_state, seed_everything
from mmsa.training.checkpoint import UNREADABLE, State, read_checkpoint, reason_of, write_checkpoint
from mmsa.training.learner import Learner
from mmsa.training.metrics import evaluate, target_metric
from mmsa.training.monitors import Monitors
from mmsa.training.optimisers import Schedule, build_optimiser
from mmsa.training.parallel import ALONE, Team
from mmsa.training.plan import PlannedPass, lay_out, num_steps
from mmsa.training.predictor import Predictor, Result, predict
from mmsa.training.runtime import Runtime
from mmsa.training.selection import PREFIX, Selection, check_metric


@dataclass
class Position:
    """How far a run has come.

    Attributes:
        epoch: finished epochs.
        index: finished passes of the epoch in progress.
        batch: finished batches of the pass in progress.
        step: optimiser steps over all epochs.
    """

    epoch: int = 0
    index: int = 0
    batch: int = 0
    step: int = 0

    @property
    def epochs_begun(self) -> int:
        """The number of the epoch in progress; between two epochs, that of the last one."""
        return self.epoch + ((self.index, self.batch) != (0, 0))


class Trainer:
    """A run in progress.

    Raises:
        ConfigError: for a metric or device that does not exist, or an encoder that cannot read the data.
        ValueError: for a corpus of several folds, whose train and valid hold the same rows.
    """

    def __init__(self, config: RunConfig, corpus: Corpus, cache: Path | None = None, team: Team = ALONE):
        if corpus.folds:
            raise ValueError("a corpus of several folds is trained fold by fold: give Corpus.fold(number)")
        check_metric(config.train.metric, corpus, config.objective.trained())
        self.config, self.cache, self.team = config, cache, team
        self.runtime = Runtime.of(config.train)
        with self.runtime.active():
            self._build(corpus)

    def _build(self, corpus: Corpus) -> None:
        config = self.config
        self._learner = learner = Learner(config, corpus, self.runtime, self.cache, self.team)
        self.corpus, self.groups = learner.corpus, learner.groups
        self.model, self.objective = learner.model, learner.objective
        self.batches = Batches(
            self.corpus["train"],
            config.train.batch_size,
            derive_seed("batches", config.seed),
            share=self.team.share,
        )
        learner.objective.refuse_small_batches(len(self.corpus["train"]), config.train.batch_size)
        self.team.refuse_misfit(self.model, len(self.corpus["train"]) // len(self.batches))

        strategy = STRATEGIES[config.objective.strategy.name](config.objective.strategy)
        trained = [name for name, members in self.groups.items() if members]
        modalities = tuple(learner.inputs.modalities())
        self.plan = lay_out(strategy, config.train.epochs, len(self.batches), trained, modalities)
        self.optimiser = build_optimiser(config.optim, self.model, self.groups)
        self.schedule = Schedule(self.optimiser, config.optim, config.train, num_steps(self.plan))
        self.average = (
            AveragedModel(
                self.model,
                multi_avg_fn=get_ema_multi_avg_fn(config.train.average),  # type: ignore[no-untyped-call]
            )
            if config.train.average > 0
            else None
        )
        self.position = Position()
        self.settings = config.at_epoch(1)
        self.monitors = Monitors()
        self.selection = Selection(config.train)
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0

    @property
    def finished(self) -> bool:
        """Whether there is no further epoch to train."""
        return self.selection.ended(self.position.epoch)

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return self._learner.num_parameters

    def train_epoch(self) -> None:
        """Train to the end of the epoch from wherever the run is, then evaluate.

        Raises:
            TrainingDiverged: if a loss, monitor, gradient or prediction stopped being finite.
        """
        metrics, predictions_N = self.run_epoch()
        # The numbers of one process, or the last bits could let processes choose different best epochs and
        # get out of step.
        metrics = self.team.first(metrics | self._scored(predictions_N))
        self.end_epoch(metrics)
        self.selection.consider(self.position.epoch, metrics, self.evaluated)

    def run_epoch(self) -> tuple[dict[str, float], NDArray[np.float32]]:
        """Train to the end of the epoch, which ``end_epoch`` then closes.

        Returns:
            Means of what its steps monitored, with metrics of targets beside the primary one; and the
            predictions of that on valid.

        Raises:
            TrainingDiverged: as ``train_epoch``.
        """
        start = time.perf_counter()
        with self.runtime.active():
            for _ in self.steps():
                pass
            metrics = self.monitors.means() | {"train/lr": float(self.optimiser.param_groups[0]["lr"])}
            predictions_N, further = self._predicted()
        metrics |= further
        self.seconds += time.perf_counter() - start
        return metrics, predictions_N

    def steps(self) -> Iterator[PlannedPass]:
        """Train to the end of the epoch, yielding after each step, when ``save`` may be called."""
        here = self.position
        if (here.index, here.batch) == (0, 0):
            self._start_epoch()
        self.model.train()
        self.objective.train()
        passes = self.plan[here.epoch]
        while here.index < len(passes):
            current = passes[here.index]
            batches = self._batches_of(current, here.batch)
            for batch in islice(batches, current.num_batches - here.batch):
                self._step(current, self._thinned(current, batch).to(self.runtime.device))
                here.batch += 1
                here.step += 1
                yield current
            here.index, here.batch = here.index + 1, 0

    def _batches_of(self, current: PlannedPass, start: int) -> Iterator[Batch]:
        if current.alone:
            return self.batches.turns(current.order, current.alone, start)
        return self.batches.epoch(current.order, start)

    def _thinned(self, current: PlannedPass, batch: Batch) -> Batch:
        probability = self.config.train.modality_dropout
        if probability == 0 or current.alone:
            return batch
        seed = derive_seed("modality dropout", self.config.seed, self.position.step)
        return without_some(batch, probability, seed, self.team.share)

    def _start_epoch(self) -> None:
        # By the number of the epoch: what earlier epochs drew, or whether the run was resumed, makes no
        # difference.
        seed_everything(derive_seed("epoch", self.config.seed, self.position.epoch))
        if any(change.after == self.position.epoch for change in self.config.course):
            self._set(self.config.at_epoch(self.position.epoch + 1))
            self.schedule.change(build_optimiser(self.settings.optim, self.model, self.groups))
        self.objective.start_epoch(self.position.epoch)
        self.monitors = Monitors()

    def _set(self, settings: RunConfig) -> None:
        self.settings = settings
        self.objective.weights = settings.objective.built()

    def _step(self, current: PlannedPass, batch: Batch) -> None:
        step = self.position.step
        self.optimiser.zero_grad()
        try:
            values = self._learner.gradients(current, batch, step, self.settings.optim)
        except LinAlgError:
            self.monitors.check()  # a decomposition fails on what an earlier, unchecked step has spoilt
            raise
        self.monitors.add(step, values)
        if step % self.runtime.steps_between_checks == 0:
            self.monitors.check()
        self.optimiser.step()
        self.schedule.after_step()
        if self.average is not None and current.loss != "estimator":
            self.average.update_parameters(self.model)

    def end_epoch(self, metrics: dict[str, float]) -> None:
        """Close the epoch that ``run_epoch`` trained, with the metrics that the run is judged by."""
        self.position.epoch, self.position.index = self.position.epoch + 1, 0
        self.history.append(metrics)
        self.schedule.after_epoch(metrics[self.config.train.metric])

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated: the one in training, or its moving average."""
        return self.model if self.average is None else self.average.module

    def _predicted(self) -> tuple[NDArray[np.float32], dict[str, float]]:
        """Predictions of the primary target on valid, and metrics of the others."""
        found = predict(
            self.evaluated,
            self.corpus["valid"],
            self.config.train.eval_batch_size,
            self.runtime.device,
            self.team,
        )
        for values in found.values():
            bad = ~np.isfinite(values)
            if bad.any():
                raise TrainingDiverged(self.position.step, "prediction", float(values[bad][0]))
        primary, *others = self._learner.inputs.targets
        further: dict[str, float] = {}
        for target in others:
            metrics = evaluate(self.corpus.values("valid", target.name), found[target.name], target)
            further |= {
                PREFIX + target_metric(self.corpus, target, name): value for name, value in metrics.items()
            }
        return found[primary.name], further

    def _scored(self, predictions_N: NDArray[np.float32]) -> dict[str, float]:
        metrics = evaluate(self.corpus["valid"].labels, predictions_N, self.corpus.target)
        return {PREFIX + name: value for name, value in metrics.items()}

    def move_to(self, device: torch.device) -> None:
        """Move all that is trained, with the optimiser's moments, to another device between two epochs."""
        for module in (self.model, self.objective, self.average):
            if module is not None:
                module.to(device)
        for moments in self.optimiser.state.values():
            for name, value in moments.items():
                if isinstance(value, Tensor):
                    moments[name] = value.to(device)

    def views(self, model: nn.Module) -> Iterator[tuple[nn.Module, Split, float]]:
        """The model, the rows that it is measured on, and the seconds that it took so far."""
        yield model, self.corpus["valid"], self.seconds

    def valid_predictions(self) -> NDArray[np.float32]:
        """Predictions of the primary target in the best epoch on valid; ends the run as ``result`` does."""
        return self.result().predict(self.corpus["valid"])

    def further_predictions(self) -> dict[TargetSpec, NDArray[np.float32]]:
        """The same of the other targets."""
        found = self.result().predictor.predict_all(self.corpus["valid"])
        return {target: found[target.name] for target in self._learner.inputs.targets[1:]}

    @property
    def predictor(self) -> Predictor:
        """The model as it is."""
        return Predictor(self.config, self._learner.inputs, self.model, self.runtime, self.cache)

    def result(self) -> Result:
        """The result of the run. It ends the run, since the model gets the weights of the best epoch."""
        self.model.load_state_dict(self.selection.weights)
        return Result(
            config=self.config,
            best_epoch=self.selection.epoch,
            metrics=self.selection.metrics,
            history=self.history,
            seconds=self.seconds,
            num_parameters=self.num_parameters,
            counters={"epochs": self.position.epoch, "steps": self.position.step},
            predictor=self.predictor,
        )

    def save(self, directory: Path) -> None:
        """Write a checkpoint to continue from exactly, at the end of an epoch or between two steps.

        In a team only the first process writes: the content is the same in all.
        """
        if self.team.rank > 0:
            return
        write_checkpoint(directory, {**run_identity(self.config, self.corpus), **self.state()})

    def state(self) -> State:
        """Everything that a checkpoint holds, but what it was written for."""
        return {
            "course": self._course_so_far(self.position),
            "position": asdict(self.position),
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "random": random_state(),
            "monitors": self.monitors.state_dict(),
            "selection": self.selection.state_dict(),
            "history": self.history,
            "seconds": self.seconds,
        }

    def resume(self, directory: Path) -> None:
        """Continue where ``save`` was called.

        Raises:
            CheckpointError: for a damaged checkpoint, or one of another configuration or other data; in all
                processes of a team if one of them cannot continue. Later changes of the hyperparameter
                schedule may differ.
        """
        resume_together(self.team, directory, run_identity(self.config, self.corpus), self.restore)

    def restore(self, state: State) -> None:
        """Continue where ``state`` was taken.

        Raises:
            CheckpointError: for a course of settings that differs before this position.
        """
        self.position = Position(**state["position"])
        if state["course"] != self._course_so_far(self.position):
            raise CheckpointError(
                f"settings changed in another course before epoch {self.position.epoch} of this checkpoint: "
                f"{state['course']}; delete it, or resume with the configuration it was written for"
            )
        self._set(self.config.at_epoch(self.position.epochs_begun))
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        restore_random_state(state["random"])
        self.monitors.load_state_dict(state["monitors"], self.runtime.device)
        self.selection.load_state_dict(state["selection"])
        self.history = [dict(metrics) for metrics in state["history"]]
        if len(self.history) != self.position.epoch:
            raise ValueError(f"{len(self.history)} epochs of history after {self.position.epoch}")
        self.seconds = float(state["seconds"])

    def _course_so_far(self, position: Position) -> list[State]:
        """The changes of the hyperparameter schedule up to a position."""
        course = self.config.course
        return [change.model_dump(mode="json") for change in course if change.after < position.epochs_begun]


def run_identity(config: RunConfig, corpus: Corpus) -> State:
    """The configuration and data that a checkpoint must have been written for."""
    values = without_later_defaults(config.model_dump(mode="json", exclude={"course"}))
    return {"config": values, "corpus": corpus.digest}


def resume_together(team: Team, directory: Path, identity: State, restore: Callable[[State], None]) -> None:
    """Restore the state of a checkpoint in all processes of a team, or in none.

    Raises:
        CheckpointError: for a checkpoint that one of them cannot continue from.
    """
    problem: CheckpointError | None = None
    try:
        _load(directory, identity, restore)
    except CheckpointError as error:
        problem = error
    # Together: one process that starts anew beside others that continue would wait for ever.
    if not team.all(problem is None):
        raise problem or CheckpointError(f"another process of this run cannot continue from {directory}")


def _load(directory: Path, identity: State, restore: Callable[[State], None]) -> None:
    state = read_checkpoint(directory, identity)
    try:
        restore(state)
    except torch.OutOfMemoryError:
        raise
    except UNREADABLE as error:
        raise CheckpointError(
            f"{directory} does not fit this version of mmsa ({reason_of(error)}); "
            "delete it and start the run anew"
        ) from None
