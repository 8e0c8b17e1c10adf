"""Publication of a retraining in MLflow: its report, its metrics and its registered model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import mmsa.results.served
from mmsa.config import dump_yaml
from mmsa.information.panel import METRIC
from mmsa.information.panel import metrics as information_metrics
from mmsa.information.target.decomposition import as_measurements
from mmsa.measurement import Measurement
from mmsa.provenance import git_state, versions
from mmsa.results.retrained import RetrainReport, SeedResult
from mmsa.tracking import Location
from mmsa.tracking.retrained import RetrainCard, SeedCard, log_retrained
from mmsa.training.constants import best_constants


def publish(report: RetrainReport, location: Location, model_name: str | None = None) -> str:
    """Log a retraining and register the model of the seed that is best on valid.

    Args:
        report: of ``retrain``.
        location: the MLflow store.
        model_name: to register under; by default the name of the study, or else of the data set.

    Returns:
        URI of the registered model.

    Raises:
        TrackingError: when the store cannot be written.
    """
    opening = report.opening
    tags = {
        "study": opening.study,
        "trial": opening.trial,
        "corpus_digest": opening.corpus_digest,
        "config_digest": opening.config_digest,
        "opening": opening.id,
        "reproduced": report.reproduced,
        "git_commit": (git_state() or (None,))[0],
    }
    card = RetrainCard(
        data_set=report.config.data.name,
        tags={name: str(value) for name, value in tags.items() if value is not None},
        config_yaml=dump_yaml(report.config.model_dump(mode="json")),
        report=report.text(),
        metrics=_metrics(report),
        decomposition=None if report.decomposition is None else report.decomposition.to_dict(),
        seeds=[_seed_card(result) for result in report.seeds],
        registered=report.best_on_valid.seed,
        inputs=report.kinds,
        # Stored as a name: MLflow imports the module where the model is served, and no object is pickled.
        loader=mmsa.results.served.__name__,
        requirements=[f"{name}=={version}" for name, version in versions().items() if name != "python"],
    )
    return log_retrained(location, card, model_name or opening.study or opening.data_set)


def _metrics(report: RetrainReport) -> dict[str, float]:
    """Mean over fresh seeds, standard deviation, 95 % interval and best constant predictor by metric."""
    constants = best_constants(report.constants)
    metrics: dict[str, float | None] = {}
    for name, interval in report.intervals.items():
        metrics |= {
            f"test/{name}": interval.estimate,
            f"test_sd/{name}": report.deviation(name),
            f"test_low95/{name}": interval.low95,
            f"test_high95/{name}": interval.high95,
            f"test_constant/{name}": constants[name].value,
        }
    return {name: value for name, value in metrics.items() if value is not None} | _information(report)


def _information(report: RetrainReport) -> dict[str, float]:
    """The decomposition, and the means of what was measured for every fresh seed, in nats."""
    by_seed = [_on_test(result.information) for result in report.fresh]
    # A quantity that some seed has not measured, or that has no metric by its status, has no mean either.
    common = set.intersection(*(set(metrics) for metrics in by_seed))
    means = {
        name: float(np.mean([metrics[name] for metrics in by_seed]))
        for name in by_seed[0]
        if name in common and not name.endswith(("/low", "/high"))
    }
    decomposed = as_measurements(report.decomposition) if report.decomposition else {}
    return means | _on_test(decomposed)


def _on_test(information: Mapping[str, Measurement]) -> dict[str, float]:
    """Measurements as metrics, with ``test/`` in their names."""
    return {
        name.replace(METRIC, f"{METRIC}test/", 1): value
        for name, value in information_metrics(information).items()
    }


def _seed_card(result: SeedResult) -> SeedCard:
    return SeedCard(
        seed=result.seed,
        best_epoch=result.best_epoch,
        epochs=dict(enumerate(result.history, 1)),
        test={f"test/{name}": value for name, value in result.test.items()} | _on_test(result.information),
        information=result.information,
        bundle=result.bundle,
        selected=result.selected,
    )
