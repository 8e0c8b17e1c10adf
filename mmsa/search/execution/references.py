"""The reference points of a study as its driver sees them: which are due, what became of them, what they say.

Their trainings run on the workers of the trials, as assignments that have a name in place of a number. So
they get what trials get (gangs, checkpoints, restarts after a crash) without being trials: the study's
sampler, scheduler, stop rule and ranking read trials and nothing else.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.config import dump_yaml, with_overrides
from mmsa.data.corpus import Corpus, Features
from mmsa.experiment import RunConfig
from mmsa.interface import VALID, Observer, PairedDifference, ReferencePoint, direction_of
from mmsa.models.heads import output_shape
from mmsa.search.definition.references import RIDGE, ReferencePlan
from mmsa.search.execution.trial import CHECKPOINT, PREDICTIONS, Assignment, Report
from mmsa.search.study.study import Study
from mmsa.training.folded import FOLD_MEAN, FOLD_SD, across_folds, by_repeat, spread
from mmsa.training.metrics import evaluate
from mmsa.training.presence import PatternResult, by_presence
from mmsa.training.resampling import paired_differences
from mmsa.training.ridge import pooled, ridge_outputs


class ReferencePoints:
    """Measures the reference points of a study that it lacks.

    Args:
        study: that remembers them.
        plan: what they are made of.
        encoded: the corpus with its text encoded for the base.
        observers: are told of each.
    """

    def __init__(self, study: Study, plan: ReferencePlan, encoded: Corpus, observers: Sequence[Observer]):
        self._study, self._plan, self._encoded = study, plan, encoded
        self._observers = observers
        # Threads are pinned as for trials, whose sums they are compared with to the last bit.
        threads = {"train.threads": study.attributes["threads"]}
        self._runs = {name: with_overrides(run, threads) for name, run in plan.runs.items()}
        for point in study.references():
            if point.name not in {*plan.ridges, *plan.runs}:  # an edit took away what it was made of
                study.forget_reference(point.name)
        known = {point.name: point.basis for point in study.references()}
        self._due = deque(name for name, run in self._runs.items() if known.get(name) != _basis(run))

    @property
    def due(self) -> int:
        """How many trainings have not ended, those that run left out."""
        return len(self._due)

    def next(self, *, anyway: bool = False) -> Assignment | None:
        """The next training to run: after the defaults have ended, or ``anyway``. None for none."""
        if not self._due:
            return None
        defaults = self._study.defaults()
        if not anyway and (defaults is None or defaults.outcome == "running"):
            return None
        name = self._due.popleft()
        return Assignment(-1, self._runs[name], {}, self._folder(name), reference=name)

    def ended(self, name: str, report: Report) -> None:
        """Remember how a training ended."""
        self._remember(
            ReferencePoint(
                name,
                report.outcome,
                _basis(self._runs[name]),
                {metric: value for metric, value in report.best.items() if metric.startswith(VALID)},
                report.reason,
                report.best_epoch,
                report.seconds,
                self._study.share.cost(report.seconds).gpu_seconds,
            )
        )
        shutil.rmtree(self._folder(name) / CHECKPOINT, ignore_errors=True)

    def requeue(self, name: str) -> None:
        """Let ``next`` return a training again, since its process died; it goes on from its checkpoint."""
        self._due.appendleft(name)

    def fit_ridges(self) -> None:
        """Fit the ridges that the study lacks: seconds, in this process."""
        known = {point.name: point.basis for point in self._study.references()}
        for name, modalities in self._plan.ridges.items():
            if known.get(name) == self._encoded.digest:
                continue
            started = time.monotonic()
            predictions_N, metrics = self._ridge(modalities)
            self._folder(name).mkdir(parents=True, exist_ok=True)
            np.save(self._folder(name) / PREDICTIONS, predictions_N)
            measured = {
                VALID + metric: value
                for metric, value in metrics.items()
                if not metric.startswith((FOLD_MEAN, FOLD_SD))
            }
            seconds = time.monotonic() - started
            self._remember(ReferencePoint(name, "completed", self._encoded.digest, measured, seconds=seconds))

    def _ridge(self, modalities: Sequence[str]) -> tuple[NDArray[np.float32], dict[str, float]]:
        """Predictions on valid, as a trial would keep them, and their metrics."""
        corpus, train, valid = self._encoded, self._encoded["train"], self._encoded["valid"]
        known, others = (
            [pooled(part) for one in modalities if isinstance(part := getattr(split, one), Features)]
            for split in (train, valid)
        )
        if not corpus.folds:
            predictions_N = ridge_outputs(corpus.target, known, train.labels, train.groups, others)
            return predictions_N, evaluate(valid.labels, predictions_N, corpus.target)
        found = [
            ridge_outputs(
                corpus.target,
                [part[fold.train] for part in known],
                train.labels[fold.train],
                train.groups[fold.train],
                [part[fold.held_out] for part in others],
            )
            for fold in corpus.folds
        ]
        placed = spread(corpus.folds, found, len(valid))
        return placed[0] if corpus.repeats == 1 else placed, across_folds(corpus, found)

    def compare(self) -> None:
        """Compare each with the best trial, row by row of valid, where that has not been done."""
        best = self._study.best()
        predictions_N = None if best is None else self._read(self._study.trial_folder(best.number))
        for point in self._study.references():
            folder = self._folder(point.name, point.basis)
            stale = point.compared_with != (best and best.number) or not point.gains
            if best is None or predictions_N is None or not stale or point.outcome != "completed":
                continue
            others_N = self._read(folder)
            if others_N is not None:
                gains = self._gains(predictions_N, others_N)
                self._remember(replace(point, gains=gains, compared_with=best.number))

    def best_by_presence(self) -> list[PatternResult]:
        """The best trial's results on valid by what rows have; empty where all have the same modalities."""
        best = self._study.best()
        predictions = None if best is None else self._read(self._study.trial_folder(best.number))
        if predictions is None:
            return []
        repeats = predictions if self._encoded.repeats > 1 else predictions[None]
        return by_presence(self._encoded, self._encoded["valid"], list(repeats))

    def _gains(
        self, best_N: NDArray[np.float32], reference_N: NDArray[np.float32]
    ) -> dict[str, PairedDifference]:
        valid, target = self._encoded["valid"], self._encoded.target
        others, best = (
            values if self._encoded.repeats > 1 else values[None] for values in (reference_N, best_N)
        )
        repeats = [
            paired_differences(
                valid.labels[there_N], others_N, repeat_N[there_N], valid.groups[there_N], target
            )
            for (there_N, others_N), repeat_N in zip(by_repeat(others), best, strict=True)
        ]
        found = {name: _mean_difference([repeat[name] for repeat in repeats]) for name in repeats[0]}
        return {
            VALID + metric: gain
            if direction_of(metric) == "minimize"
            else PairedDifference(0.0 - gain.value, 0.0 - gain.high, 0.0 - gain.low)
            for metric, gain in found.items()
        }

    def _read(self, folder: Path) -> NDArray[np.float32] | None:
        """Predictions on valid; None where there are none, as of a trial of an earlier version of mmsa."""
        with suppress(OSError, ValueError, EOFError):
            predictions_N: NDArray[np.float32] = np.load(folder / PREDICTIONS)
            repeated = (self._encoded.repeats,) * (self._encoded.repeats > 1)
            if predictions_N.shape == (
                *repeated,
                *output_shape(self._encoded.target, len(self._encoded["valid"])),
            ):
                return predictions_N
        return None

    def _folder(self, name: str, basis: str | None = None) -> Path:
        """The folder of a reference point; another one when it is made of something else after an edit."""
        if basis is None:
            basis = self._encoded.digest if name.startswith(RIDGE) else _basis(self._runs[name])
        digest = hashlib.sha256(basis.encode()).hexdigest()[:12]
        return (self._study.folder / "references" / f"{name.replace('/', '-')}-{digest}").resolve()

    def _remember(self, point: ReferencePoint) -> None:
        self._study.remember_reference(point)
        for observer in self._observers:
            observer.reference_known(point)


def _mean_difference(repeats: Sequence[PairedDifference]) -> PairedDifference:
    """The mean over repeats of the dealing, whose interval is at most as wide as theirs on average."""
    ends = np.mean([(one.value, one.low, one.high) for one in repeats], axis=0)
    return PairedDifference(*ends.tolist())


def _basis(run: RunConfig) -> str:
    return dump_yaml(run.model_dump(mode="json"))
