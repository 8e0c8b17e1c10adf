"""The result of a retraining, and its text report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmsa.data.ledger import Opening
from mmsa.data.target_spec import TargetSpec
from mmsa.experiment import RunConfig, TrainConfig
from mmsa.information.target import Decomposition
from mmsa.interface import VALID, SplitCard, counted, decimals, direction_of
from mmsa.measurement import Measurement
from mmsa.results.by_label import LabelResult, label_lines
from mmsa.results.exported import Exported
from mmsa.results.robustness import Robustness
from mmsa.results.statistics import Interval
from mmsa.results.subgroups import SubgroupTable
from mmsa.results.test_information import information_table
from mmsa.training.constants import best_constants, short_of
from mmsa.training.presence import PatternResult, presence_lines

_FEW_GROUPS = 20


@dataclass(frozen=True)
class SeedResult:
    """One retrained model.

    Attributes:
        seed: of the training.
        best_epoch: selected on valid, counted from 1.
        metrics: of that epoch, with prefixes.
        history: metrics of every epoch.
        bundle: folder of the model.
        selected: whether the search selected the configuration with this seed.
        test: metrics on test, without a prefix; empty until test is opened.
        information: measured on test, by name; empty likewise, and where nothing is to be measured.
    """

    seed: int
    best_epoch: int
    metrics: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]
    bundle: Path
    selected: bool = False
    test: Mapping[str, float] = field(default_factory=dict)
    information: Mapping[str, Measurement] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrainReport:
    """The result of a retraining.

    Attributes:
        exported: what was retrained.
        config: the configuration as it ran, with the first seed.
        opening: its entry in the ledger.
        earlier: number of earlier openings for the same study, or for the same configuration of no study.
        elsewhere: number of earlier openings of any of these test rows for others, by study; the key None
            stands for configurations of no study.
        seeds: results in order; the selected seed comes first if there is one.
        reproduced: whether the first seed gave exactly the exported value; None if that cannot be asked.
        intervals: of every test metric, averaged over fresh seeds.
        constants: test metrics of the median, mean and majority class of train.
        kinds: the form of each modality in a raw row: ``strings``, ``tokens`` or ``features``.
        widths: dimensions of a frame, of each modality that is features.
        test_split: what MLflow is told of the test split.
        targets: what the models predict, the primary target first.
        num_rows: rows of the test split.
        num_groups: groups of the test split.
        decomposition: of the information about the test labels, for the seed that is best on valid; None
            where nothing is to be measured.
        presence: results by what rows of test have; empty where all have the same modalities.
        labels: results of each label of multi-label targets; empty without any.
        subgroups: results by columns such as gender; empty where the data have none.
        robustness: of the fresh seeds, with some modalities alone and with noise; None if not measured.
        notes: lines about the labels that a reader of the metrics should know.
    """

    exported: Exported
    config: RunConfig
    opening: Opening
    earlier: int
    elsewhere: Mapping[str | None, int]
    seeds: tuple[SeedResult, ...]
    reproduced: bool | None
    intervals: Mapping[str, Interval]
    constants: Mapping[str, Mapping[str, float]]
    kinds: Mapping[str, str]
    widths: Mapping[str, int]
    test_split: SplitCard
    targets: tuple[TargetSpec, ...]
    num_rows: int
    num_groups: int
    decomposition: Decomposition | None = None
    notes: tuple[str, ...] = ()
    presence: tuple[PatternResult, ...] = ()
    labels: tuple[LabelResult, ...] = ()
    subgroups: tuple[SubgroupTable, ...] = ()
    robustness: Robustness | None = None

    @property
    def best_on_valid(self) -> SeedResult:
        """The result to use in production, selected without a look at test."""
        return best_on_valid(self.config.train, self.seeds)

    @property
    def fresh(self) -> tuple[SeedResult, ...]:
        """Results of the seeds that the search did not see; the means are over these."""
        return tuple(result for result in self.seeds if not result.selected)

    def deviation(self, metric: str) -> float | None:
        """Standard deviation of a test metric over fresh seeds; None for a single seed."""
        values = [result.test[metric] for result in self.fresh]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def text(self) -> str:
        """The report as text for a terminal or a log."""
        fresh = counted(len(self.fresh), "fresh seed")
        title = f"test: {fresh}, {self.num_rows} rows of {self.num_groups} groups"
        seeds = "".join(f"{_head(result):>16}" for result in self.seeds)
        constants = "".join(f"{name:>12}" for name in self.constants)
        bounds = f"{'mean ± sd':>18}{'90 % interval':>20}{'95 % interval':>20}"
        lines = [title, f"{'':<28}{seeds}{bounds}{constants}"]
        lines += [self._row(metric) for metric in self.intervals]
        if len(self.fresh) < len(self.seeds):
            lines.append(
                "selected: the seed the search chose by valid, which flatters it; it is not in the mean"
            )
        lines.append(
            "intervals: of the mean over fresh seeds, by drawing whole groups of the test split "
            "(cluster bootstrap)"
        )
        lines += self._beside_constants()
        if self.num_groups < _FEW_GROUPS:
            lines.append(
                f"{self.num_groups} groups are few: take these intervals as a lower limit of the doubt"
            )
        known = self.exported.provenance
        return "\n".join(
            [
                *lines,
                *self.notes,
                *label_lines(self.labels),
                *(line for table in self.subgroups for line in table.lines()),
                *self._presence(),
                *(known.tested if known else ()),
                *self._information(),
                *opening_lines(self.opening.study, self.earlier, self.elsewhere),
            ]
        )

    def _presence(self) -> list[str]:
        metric = self.config.train.metric.removeprefix(VALID)
        table = presence_lines(self.presence, metric)
        return [
            *(["by what rows have (mean over fresh seeds)"] if table else []),
            *table,
            *(self.robustness.lines(metric) if self.robustness else []),
        ]

    def _information(self) -> list[str]:
        lines = information_table(
            "on test", {f"seed {result.seed}": result.information for result in self.seeds}
        )
        if self.decomposition is not None:
            lines.append(f"seed {self.best_on_valid.seed}: {self.decomposition.text(brackets=False)}")
            if self.decomposition.status == "ok":
                lines.append("brackets of redundancy, uniqueness and synergy: in information.json of the run")
        return lines

    def _row(self, metric: str) -> str:
        interval, deviation = self.intervals[metric], self.deviation(metric)
        values = "".join(f"{decimals(result.test[metric]):>16}" for result in self.seeds)
        spread = "" if deviation is None else f" ± {decimals(deviation)}"
        mean = f"{decimals(interval.estimate)}{spread}"
        bounds = [_bounds(interval.low90, interval.high90), _bounds(interval.low95, interval.high95)]
        constants = "".join(
            f"{decimals(metrics[metric]):>12}" if metric in metrics else f"{'-':>12}"
            for metrics in self.constants.values()
        )
        return f"{metric:<28}{values}{mean:>18}{bounds[0]:>20}{bounds[1]:>20}{constants}"

    def _beside_constants(self) -> list[str]:
        """Lines that name the constant predictors, and the metrics by which they are not surely beaten."""
        lines = [f"{', '.join(self.constants)}: predictors that say the same of every row, known from train"]
        for metric, constant in best_constants(self.constants).items():
            interval = self.intervals[metric]
            # Beaten for sure is beaten by the worse end of the interval, not by the mean.
            worse_end = interval.high95 if direction_of(metric) == "minimize" else interval.low95
            verdict = short_of(metric, interval.estimate, worse_end, constant)
            lines += [f"  {metric} {decimals(interval.estimate)} is {verdict}"] if verdict else []
        return lines


def opening_lines(study: str | None, earlier: int, elsewhere: Mapping[str | None, int]) -> list[str]:
    """What a reader of a result on test has to know of earlier looks at it.

    Args:
        study: whose configuration was measured; None for one of no study.
        earlier: number of earlier openings for it.
        elsewhere: earlier openings of any of the rows for others, by study.
    """
    subject = f"study {study}" if study else "this configuration"
    if earlier == 0:
        lines = [f"test was opened for the first time for {subject}"]
    else:
        lines = [
            f"test had been opened {counted(earlier, 'time')} before for {subject}: "
            "whatever was chosen after the first look is no longer a test of it"
        ]
    if elsewhere:
        by_study = ", ".join(
            f"{f'study {other}' if other else 'configurations of no study'} {count}"
            for other, count in elsewhere.items()
        )
        lines.append(
            f"rows of this test split had been opened {counted(sum(elsewhere.values()), 'time')} before for "
            f"others ({by_study}): what was learned there may have found its way here"
        )
    return lines


def _head(result: SeedResult) -> str:
    return "selected" if result.selected else f"seed {result.seed}"


def best_on_valid(train: TrainConfig, seeds: Sequence[SeedResult]) -> SeedResult:
    """The seed with the best ``train.metric`` at its best epoch; of equal ones the first."""
    sign = 1.0 if train.direction == "minimize" else -1.0
    return min(seeds, key=lambda result: sign * result.metrics[train.metric])


def _bounds(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{decimals(low)} to {decimals(high)}"
