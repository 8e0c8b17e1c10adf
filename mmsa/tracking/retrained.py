"""A retraining in MLflow: a run, a child run for each seed while it trains, and its registered model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsa.errors import TrackingError
from mmsa.interface import SplitCard
from mmsa.masking import masked_message
from mmsa.measurement import Measurement
from mmsa.tracking.abandoned import end_abandoned, tags_of_this_process
from mmsa.tracking.artifacts import epochs_csv, log_information, table_csv
from mmsa.tracking.inputs import log_splits
from mmsa.tracking.location import Location
from mmsa.tracking.names import best_name, chosen_curves, of_epoch, of_information
from mmsa.tracking.notes import write_run_note
from mmsa.tracking.registered import ModelCard, register
from mmsa.tracking.study_runs import metric
from mmsa.tracking.views import save, seeds_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SCOPE = "test/"


@dataclass(frozen=True)
class SeedCard:
    """What MLflow is told of one retrained model.

    Attributes:
        seed: of the training.
        best_epoch: selected on valid, counted from 1.
        valid: metrics of that epoch.
        epochs: metrics by epoch, counted from 1.
        test: metrics of the best epoch on test, without a prefix.
        bundle: folder of the model.
        information: measured on test, by name.
        selected: whether a search selected the configuration with this seed; it is not in the means then.
    """

    seed: int
    best_epoch: int
    valid: Mapping[str, float]
    epochs: Mapping[int, Mapping[str, float]]
    test: Mapping[str, float]
    bundle: Path
    information: Mapping[str, Measurement] = field(default_factory=dict)
    selected: bool = False


@dataclass(frozen=True)
class RetrainBeginning:
    """What MLflow is told of a retraining before its first epoch.

    Attributes:
        data_set: name of the data set, and so of the experiment.
        metric: of valid, which chooses the epoch.
        direction: ``minimize`` or ``maximize``.
        seeds: in order.
        selected: the one that a search selected the configuration with; None without a search.
        config_yaml: the configuration as it runs.
        tags: of the run and its children.
        splits: that are open by now.
    """

    data_set: str
    metric: str
    direction: str
    seeds: Sequence[int]
    selected: int | None
    config_yaml: str
    tags: Mapping[str, str]
    splits: Sequence[SplitCard] = ()


@dataclass(frozen=True)
class RetrainCard:
    """What MLflow is told of a finished retraining.

    Attributes:
        tags: that were not known at its beginning.
        report: the text report.
        note: in markdown, the verdict first.
        metrics: means over fresh seeds on test, without a prefix.
        table: a row for each metric on test, with intervals, spread and constants.
        by: a table likewise for the values of each column that results are told by, such as gender.
        information: means over fresh seeds of what was measured on test, by name in MLflow.
        seeds: one card for each model.
        model: what is registered of the seed that is best on valid.
        splits: the test split.
        decomposition: of the information about the test labels, JSON-able; None if it was not measured.
        decomposed: the same as measurements by name.
    """

    tags: Mapping[str, str]
    report: str
    note: str
    metrics: Mapping[str, float]
    table: Sequence[Mapping[str, object]]
    information: Mapping[str, float]
    seeds: Sequence[SeedCard]
    model: ModelCard
    splits: Sequence[SplitCard]
    decomposition: Mapping[str, Any] | None = None
    decomposed: Mapping[str, Measurement] = field(default_factory=dict)
    by: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)


class RetrainRuns:
    """Writer of a retraining: from its first epoch on, so that it can be watched.

    A store that is away costs the training nothing: after the first failure epochs wait for ``finish``, which
    writes what is lacking.

    Args:
        location: the MLflow store.
        beginning: what is known before the first epoch.
        say: is given a line for the user when the store cannot be written.
    """

    def __init__(self, location: Location, beginning: RetrainBeginning, say: Callable[[str], None]):
        self._location, self._beginning, self._say = location, beginning, say
        self._client: MlflowClient | None = None
        self._experiment = self._parent = ""
        self._children: dict[int, str] = {}
        self._written: dict[int, set[int]] = {seed: set() for seed in beginning.seeds}
        self._epochs: dict[int, dict[int, Mapping[str, float]]] = {seed: {} for seed in beginning.seeds}
        self._away = False
        self.page = ""

    def begin(self) -> None:
        """Create the run, with a view of its seeds; ``page`` is its address then."""
        with self._unless_away():
            self._open()

    def epoch(self, seed: int, number: int, metrics: Mapping[str, float]) -> None:
        """An epoch of a seed is over; counted from 1."""
        self._epochs[seed][number] = metrics
        with self._unless_away():
            self._write_epochs(self._open(), seed)

    def finish(self, card: RetrainCard) -> str:
        """Write everything that is not there yet, and register the model; returns its URI.

        Raises:
            TrackingError: when the store cannot be written.
        """
        try:
            return self._finish(self._open(), card)
        except Exception as error:
            shown = masked_message(error, self._location.uri)
            raise TrackingError(f"{self._location.shown}: {shown}") from error

    def abandon(self) -> None:
        """Say in MLflow that the retraining ended without a result."""
        with self._unless_away():
            if self._client is not None and self._parent:
                for run_id in (*self._children.values(), self._parent):
                    self._client.set_terminated(run_id, "KILLED")

    @contextmanager
    def _unless_away(self) -> Iterator[None]:
        if self._away:
            return
        try:
            yield
        except Exception as error:
            self._away = True
            cause = masked_message(error, self._location.uri).splitlines()[0][:200]
            self._say(
                f"MLflow cannot be written ({cause}); the training goes on, and it is tried again after it"
            )

    def _open(self) -> MlflowClient:
        """The client, after the run exists."""
        known = self._beginning
        if self._client is None:
            self._client = self._location.connect()
        client = self._client
        if not self._parent:
            self._experiment = self._location.experiment(client, known.data_set)
            end_abandoned(client, self._experiment)
            tags = {"mmsa.role": "retrain", **_prefixed(known.tags), **tags_of_this_process()}
            run = client.create_run(self._experiment, tags=tags, run_name="retrain")
            self._parent = run.info.run_id
            self.page = self._location.run_page(self._experiment, self._parent)
            client.log_text(self._parent, known.config_yaml, "config.yaml")
            log_splits(client, self._parent, known.data_set, known.splits)
            self._write_view(client, [])
        return client

    def _write_view(self, client: MlflowClient, test: Sequence[str]) -> None:
        """Write the view of the seeds; without it the page opens as MLflow's own."""
        known = self._beginning
        view = seeds_view(self._parent, known.metric, known.direction == "minimize", test)
        try:
            save(client, self._experiment, view)
        except Exception as error:
            said = masked_message(error, self._location.uri).splitlines()[0][:200]
            self._say(f"MLflow shows the seeds without a view of their own ({said})")
        else:
            self.page = view.address(self._location.origin, self._experiment)

    def _write_epochs(self, client: MlflowClient, seed: int) -> str:
        """Log the epochs of a seed that MLflow lacks; returns the id of its run."""
        known = self._beginning
        run_id = self._children.get(seed)
        if run_id is None:
            selected = seed == known.selected
            tags = {"mmsa.role": "seed", "mmsa.seed": str(seed), "mmsa.selected": str(selected)}
            tags |= {**_prefixed(known.tags), "mlflow.parentRunId": self._parent}
            name = f"seed {seed}{' (selected)' if selected else ''}"
            run = client.create_run(self._experiment, tags=tags, run_name=name)
            run_id = self._children[seed] = run.info.run_id
        epochs = self._epochs[seed]
        chosen = chosen_curves(epochs, [known.metric])
        points = [
            metric(name, value, number)
            for number in sorted(epochs.keys() - self._written[seed])
            for name, value in of_epoch(epochs[number], chosen).items()
        ]
        if points:
            client.log_batch(run_id, metrics=points)
        self._written[seed] |= epochs.keys()
        return run_id

    def _finish(self, client: MlflowClient, card: RetrainCard) -> str:
        known = self._beginning
        log_splits(client, self._parent, known.data_set, card.splits)
        client.log_text(self._parent, card.report, "report.txt")
        for name, table in {
            "test": card.table,
            **{f"test-by-{name}": rows for name, rows in card.by.items()},
        }.items():
            client.log_text(self._parent, table_csv(table), f"{name}.csv")
            client.log_text(self._parent, json.dumps(list(table), indent=2) + "\n", f"{name}.json")
        if card.decomposition is not None:
            client.log_dict(self._parent, dict(card.decomposition), "decomposition.json")
        log_information(client, self._parent, card.decomposed, "decomposition-in-nats")
        for seed in card.seeds:
            self._epochs[seed.seed] = dict(seed.epochs)
            run_id = self._write_epochs(client, seed.seed)
            log_splits(client, run_id, known.data_set, [*known.splits, *card.splits])
            client.log_text(run_id, epochs_csv(seed.epochs), "epochs.csv")
            log_information(client, run_id, seed.information)
            if seed.seed == card.model.seed:
                uri = register(client, self._experiment, run_id, seed.bundle, card.model)
            numbers = {f"{_SCOPE}{name}": value for name, value in seed.test.items()}
            numbers |= of_information(seed.information, _SCOPE)
            if known.metric in seed.valid:
                numbers[best_name(known.metric)] = seed.valid[known.metric]
            client.log_batch(run_id, [metric(n, value, seed.best_epoch) for n, value in numbers.items()])
            client.set_terminated(run_id)
        test = {f"{_SCOPE}{name}": value for name, value in card.metrics.items()}
        means = test | dict(card.information)
        self._write_view(client, list(test))
        client.log_batch(self._parent, metrics=[metric(name, value, 0) for name, value in means.items()])
        for name, value in _prefixed(card.tags).items():
            client.set_tag(self._parent, name, value)
        write_run_note(client, self._parent, card.note)
        client.set_terminated(self._parent)
        return uri


def _prefixed(tags: Mapping[str, str]) -> dict[str, str]:
    return {f"mmsa.{name}": value for name, value in tags.items()}
