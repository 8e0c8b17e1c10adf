"""Publication of a retraining in MLflow: while it trains, then its result and its registered model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

import mmsa.results.served
from mmsa.config import dump_yaml
from mmsa.data.corpus import Corpus
from mmsa.data.rows import split_card
from mmsa.experiment import RunConfig
from mmsa.information.target.decomposition import as_measurements
from mmsa.interface import VALID, SplitCard
from mmsa.provenance import git_state
from mmsa.results.model_page import how_to_ask, result_note
from mmsa.results.retrained import RetrainReport, SeedResult
from mmsa.results.served import output_columns
from mmsa.results.wheel import serving_requirements, write_wheel
from mmsa.tracking import Location
from mmsa.tracking.names import of_best, of_information
from mmsa.tracking.registered import ModelCard
from mmsa.tracking.retrained import RetrainBeginning, RetrainCard, RetrainRuns, SeedCard
from mmsa.training.constants import best_constants

_SCOPE = "test/"


class Publisher:
    """Tells MLflow of a retraining: ``retrain`` calls ``begin`` and ``epoch``, its caller ``publish``.

    Args:
        location: the MLflow store.
        model_name: to register under; by default the name of the study, or else of the data set.
        say: is given lines for the user.
    """

    def __init__(
        self,
        location: Location,
        model_name: str | None = None,
        say: Callable[[str], None] = lambda line: None,
    ):
        self._location, self._model_name, self._say = location, model_name, say
        self._runs: RetrainRuns | None = None
        self._splits: list[SplitCard] = []

    @property
    def page(self) -> str:
        """Address of the page of its seeds; empty before there is one."""
        return self._runs.page if self._runs else ""

    def begin(
        self, config: RunConfig, corpus: Corpus, seeds: Sequence[int], selected: int | None, study: str | None
    ) -> None:
        """The first seed is about to be trained."""
        self._splits = [split_card(corpus, "train"), split_card(corpus, "valid")]
        known = {"study": study, "corpus_digest": corpus.digest}
        self._runs = self._new_runs(config, corpus.name, seeds, selected, known)
        self._runs.begin()
        if self._runs.page:
            self._say(f"to watch:\n{self._location.how_to_browse(self._runs.page)}")

    def _new_runs(
        self,
        config: RunConfig,
        data_set: str,
        seeds: Sequence[int],
        selected: int | None,
        known: Mapping[str, str | None],
    ) -> RetrainRuns:
        tags = {**known, "git_commit": (git_state() or (None,))[0]}
        beginning = RetrainBeginning(
            data_set=data_set,
            metric=config.train.metric,
            direction=config.train.direction,
            seeds=seeds,
            selected=selected,
            config_yaml=dump_yaml(config.model_dump(mode="json")),
            tags={name: value for name, value in tags.items() if value is not None},
            splits=self._splits,
        )
        return RetrainRuns(self._location, beginning, self._say)

    def epoch(self, seed: int, number: int, metrics: Mapping[str, float]) -> None:
        """An epoch of a seed is over."""
        assert self._runs is not None
        self._runs.epoch(seed, number, metrics)

    def abandon(self) -> None:
        """The retraining ended without a result."""
        if self._runs is not None:
            self._runs.abandon()

    def publish(self, report: RetrainReport) -> str:
        """Log the result and register the model of the seed that is best on valid; returns its URI.

        A retraining that nobody watched is written as a whole.

        Raises:
            TrackingError: when the store cannot be written.
        """
        if self._runs is None:
            opening, seeds = report.opening, [result.seed for result in report.seeds]
            known = {"study": opening.study, "corpus_digest": opening.corpus_digest}
            self._runs = self._new_runs(report.config, opening.data_set, seeds, opening.selected, known)
        with tempfile.TemporaryDirectory() as folder:
            card = _card(report, self._splits, self._model_name, write_wheel(Path(folder)))
            return self._runs.finish(card)


def _card(
    report: RetrainReport, splits: Sequence[SplitCard], model_name: str | None, wheel: Path
) -> RetrainCard:
    opening, test = report.opening, report.test_split
    tags = {
        "trial": opening.trial,
        "config_digest": opening.config_digest,
        "opening": opening.id,
        "reproduced": report.reproduced,
    }
    table = test_table(report)
    decomposed = as_measurements(report.decomposition) if report.decomposition else {}
    note = result_note(report, table)
    best = report.best_on_valid
    metric = report.config.train.metric
    model = ModelCard(
        name=model_name or opening.study or opening.data_set,
        seed=best.seed,
        best_epoch=best.best_epoch,
        inputs=report.kinds,
        outputs=output_columns(report.targets),
        widths=report.widths,
        # Stored as a name: MLflow imports the module where the model is served, and no object is pickled.
        loader=mmsa.results.served.__name__,
        wheel=wheel,
        requirements=serving_requirements(),
        note=f"{note}\n\n{how_to_ask(report)}",
        valid=float(np.mean([result.metrics[metric] for result in report.fresh])),
        direction=report.config.train.direction,
        same={"corpus_digest": opening.corpus_digest, "metric": metric},
        data_set=opening.data_set,
        metrics={
            "valid": of_best({n: value for n, value in best.metrics.items() if n.startswith(VALID)}),
            "test": {f"{_SCOPE}{name}": value for name, value in best.test.items()},
        },
        splits=[*(split for split in splits if split.split == "valid"), test],
    )
    return RetrainCard(
        tags={name: str(value) for name, value in tags.items() if value is not None},
        report=report.text(),
        note=note,
        metrics={name: interval.estimate for name, interval in report.intervals.items()},
        table=table,
        by={found.by: found.rows() for found in report.subgroups},
        information=_mean_information(report),
        seeds=[_seed_card(result) for result in report.seeds],
        model=model,
        splits=[test],
        decomposition=None if report.decomposition is None else report.decomposition.to_dict(),
        decomposed=decomposed,
    )


def test_table(report: RetrainReport) -> list[dict[str, object]]:
    """A row for each metric on test: mean over fresh seeds, spread, intervals, and the best constant."""
    constants = best_constants(report.constants)
    return [
        {
            "metric": name,
            "mean": interval.estimate,
            "sd_over_seeds": report.deviation(name),
            "low90": interval.low90,
            "high90": interval.high90,
            "low95": interval.low95,
            "high95": interval.high95,
            "constant": constants[name].value,
            "constant_is": constants[name].name,
            **{f"seed {result.seed}": result.test[name] for result in report.seeds},
        }
        for name, interval in report.intervals.items()
    ]


def _mean_information(report: RetrainReport) -> dict[str, float]:
    """The means over fresh seeds of what all of them have as a plain number, in nats."""
    by_seed = [of_information(result.information, _SCOPE) for result in report.fresh]
    common = set.intersection(*(set(measured) for measured in by_seed))
    return {
        name: float(np.mean([measured[name] for measured in by_seed]))
        for name in by_seed[0]
        if name in common
    }


def _seed_card(result: SeedResult) -> SeedCard:
    return SeedCard(
        seed=result.seed,
        best_epoch=result.best_epoch,
        valid=result.metrics,
        epochs=dict(enumerate(result.history, 1)),
        test=result.test,
        information=result.information,
        bundle=result.bundle,
        selected=result.selected,
    )
