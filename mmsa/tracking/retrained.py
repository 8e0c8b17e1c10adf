"""A retraining in MLflow: a run, a child run for each seed, and a registered model that takes raw rows."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsa.errors import TrackingError
from mmsa.masking import masked_message
from mmsa.measurement import Measurement
from mmsa.tracking.artifacts import log_information
from mmsa.tracking.location import Location

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

ALIAS = "current"
"""Alias of the latest registered version."""


@dataclass(frozen=True)
class SeedCard:
    """What MLflow is told of one retrained model.

    Attributes:
        seed: of the training.
        best_epoch: selected on valid, counted from 1.
        epochs: metrics by epoch, counted from 1.
        test: metrics of the best epoch on test.
        bundle: folder of the model.
        information: measured on test, by name.
        selected: whether a search selected the configuration with this seed; it is not in the means then.
    """

    seed: int
    best_epoch: int
    epochs: Mapping[int, Mapping[str, float]]
    test: Mapping[str, float]
    bundle: Path
    information: Mapping[str, Measurement] = field(default_factory=dict)
    selected: bool = False


@dataclass(frozen=True)
class RetrainCard:
    """What MLflow is told of a retraining.

    Attributes:
        data_set: name of the data set, and so of the experiment.
        tags: study, trial and digests.
        config_yaml: the configuration as it ran.
        report: the text report.
        metrics: over fresh seeds.
        seeds: one card for each model.
        registered: seed of the model to register.
        inputs: form of each modality in a raw row: ``strings``, ``tokens`` or ``features``.
        loader: module whose ``_load_pyfunc`` opens the model's folder.
        requirements: packages that the model needs, with versions.
        decomposition: of the information about the test labels, JSON-able; None if it was not measured.
    """

    data_set: str
    tags: Mapping[str, str]
    config_yaml: str
    report: str
    metrics: Mapping[str, float]
    seeds: Sequence[SeedCard]
    registered: int
    inputs: Mapping[str, str]
    loader: str
    requirements: Sequence[str]
    decomposition: Mapping[str, Any] | None = None


def log_retrained(location: Location, card: RetrainCard, model_name: str) -> str:
    """Log a retraining and register its model.

    Returns:
        URI of the registered model.

    Raises:
        TrackingError: when the store cannot be written.
    """
    try:
        return _log(location, card, model_name)
    except Exception as error:
        raise TrackingError(f"{location.shown}: {masked_message(error, location.uri)}") from error


def _log(location: Location, card: RetrainCard, model_name: str) -> str:
    client = location.connect()
    experiment = location.experiment(client, card.data_set)
    tags = {"mmsa.role": "retrain", **{f"mmsa.{name}": value for name, value in card.tags.items()}}
    parent = client.create_run(experiment, tags=tags, run_name="retrain").info.run_id
    client.log_text(parent, card.config_yaml, "config.yaml")
    client.log_text(parent, card.report, "report.txt")
    if card.decomposition is not None:
        client.log_dict(parent, dict(card.decomposition), "decomposition.json")
    _log_metrics(client, parent, {0: card.metrics})
    for seed in card.seeds:
        child_tags = {**tags, "mmsa.role": "seed", "mmsa.seed": str(seed.seed), "mlflow.parentRunId": parent}
        name = f"seed {seed.seed}{' (selected)' if seed.selected else ''}"
        child = client.create_run(experiment, tags=child_tags, run_name=name).info.run_id
        _log_metrics(client, child, seed.epochs)
        _log_metrics(client, child, {seed.best_epoch: seed.test})
        log_information(client, child, seed.information)
        if seed.seed == card.registered:
            uri = _register(client, experiment, child, seed.bundle, card, model_name)
        client.set_terminated(child)
    client.set_terminated(parent)
    return uri


def _log_metrics(client: MlflowClient, run_id: str, epochs: Mapping[int, Mapping[str, float]]) -> None:
    from mmsa.tracking.study_runs import metric

    points = [
        metric(name, value, epoch) for epoch, values in epochs.items() for name, value in values.items()
    ]
    client.log_batch(run_id, metrics=points)


def _register(
    client: MlflowClient, experiment: str, run_id: str, bundle: Path, card: RetrainCard, name: str
) -> str:
    """Log the model's folder and make it the newest version of ``name``. Nothing in it is a pickle."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    model = client.create_logged_model(experiment, name=name, source_run_id=run_id, model_type="pyfunc")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        with warnings.catch_warnings():
            # MLflow warns of its own type hints, and of a missing input example, which would be data.
            warnings.simplefilter("ignore", UserWarning)
            from mlflow.pyfunc import save_model

            save_model(
                path,
                loader_module=card.loader,
                data_path=str(bundle),
                signature=_signature(card.inputs),
                pip_requirements=list(card.requirements),
            )
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, "READY")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    # A server wants to know which model the folder belongs to; a database looks that up only through the run.
    version = client.create_model_version(
        name, model.artifact_location, run_id=run_id, model_id=model.model_id
    )
    client.set_registered_model_alias(name, ALIAS, version.version)
    return f"models:/{name}@{ALIAS}"


def _signature(inputs: Mapping[str, str]) -> ModelSignature:
    """Signature of a request: one column for each modality.

    Frames have the type ``Any`` and are checked by the model itself. JSON has no float32, to which MLflow
    would not convert its doubles; nor does it tell 1 from 1.0, and MLflow takes no whole numbers as doubles.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Array

    types = {
        "strings": DataType.string,
        "tokens": Array(DataType.long),
        "features": AnyType(),
    }
    columns = [ColSpec(types[kind], name) for name, kind in inputs.items()]
    return ModelSignature(Schema(columns), Schema([ColSpec(DataType.float, "prediction")]))
