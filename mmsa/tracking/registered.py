"""The registered model of a retraining: a bundle, the wheel that opens it, and a page on how to ask it."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmsa.interface import SplitCard
from mmsa.tracking.inputs import data_set_of
from mmsa.tracking.location import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.models import ModelSignature

CURRENT = "current"
"""Alias of the latest version."""
BEST = "best"
"""Alias of the version whose fresh seeds are best on valid, of those of the same data and metric."""


@dataclass(frozen=True)
class ModelCard:
    """What is registered.

    Attributes:
        name: of the registered model.
        seed: of the training.
        best_epoch: of it, counted from 1.
        inputs: form of each modality in a raw row: ``strings``, ``tokens`` or ``features``.
        outputs: type of each column of predictions.
        widths: dimensions of a frame, of each modality that is features.
        loader: module whose ``_load_pyfunc`` opens the model's folder.
        wheel: of the code with that module.
        requirements: packages that the model needs besides, with versions.
        note: in markdown, the verdict first; ``{model}`` stands for the version's URI.
        valid: mean over fresh seeds of the metric that chooses epochs.
        direction: ``minimize`` or ``maximize`` of it.
        same: what versions must have in common for their ``valid`` to be compared.
        metrics: of this seed, by split and then by name in MLflow.
        splits: that they were measured on.
        data_set: its name.
    """

    name: str
    seed: int
    best_epoch: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, Literal["float", "string"]]
    widths: Mapping[str, int]
    loader: str
    wheel: Path
    requirements: Sequence[str]
    note: str
    valid: float
    direction: str
    same: Mapping[str, str]
    data_set: str
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    splits: Sequence[SplitCard] = ()


def register(client: MlflowClient, experiment: str, run_id: str, bundle: Path, card: ModelCard) -> str:
    """Log the model's folder and make it the newest version. Nothing in it is a pickle.

    Returns:
        Its URI by the alias of the latest version.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    model = client.create_logged_model(experiment, name=card.name, source_run_id=run_id, model_type="pyfunc")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        _save(path, bundle, card)
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, "READY")
    for split in card.splits:
        client.log_batch(run_id, metrics=_of_data_set(card, split, model.model_id, run_id))
    try:
        client.create_registered_model(card.name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    # A server wants to know which model the folder belongs to; a database looks that up only through the run.
    version = client.create_model_version(
        card.name,
        model.artifact_location,
        run_id=run_id,
        tags={"mmsa.valid": repr(card.valid), **{f"mmsa.{name}": v for name, v in card.same.items()}},
        model_id=model.model_id,
    ).version
    client.update_model_version(
        card.name, version, card.note.replace("{model}", f"models:/{card.name}/{version}")
    )
    client.set_registered_model_alias(card.name, CURRENT, version)
    client.set_registered_model_alias(card.name, BEST, _best_version(client, card))
    return f"models:/{card.name}@{CURRENT}"


def example_of(inputs: Mapping[str, str], widths: Mapping[str, int]) -> dict[str, Any]:
    """A row that the model takes: two frames of zeros, three tokens, or a few words. No row of the data."""
    cells: dict[str, Any] = {"strings": "a film that I liked", "tokens": [101, 2204, 102]}
    return {
        name: cells[kind] if kind in cells else [[0.0] * widths[name]] * 2 for name, kind in inputs.items()
    }


def _save(path: Path, bundle: Path, card: ModelCard) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow of its own type hints, and pandas of MLflow's ways
        from mlflow.pyfunc import save_model
        from pandas import DataFrame

        save_model(
            path,
            loader_module=card.loader,
            data_path=str(bundle),
            signature=_signature(card.inputs, card.outputs),
            input_example=DataFrame([example_of(card.inputs, card.widths)]),
            code_paths=[str(card.wheel)],
            pip_requirements=[f"code/{card.wheel.name}", *card.requirements],
        )


def _of_data_set(card: ModelCard, split: SplitCard, model_id: str, run_id: str) -> list[Metric]:
    from mlflow.entities import Metric

    data, now, step = data_set_of(card.data_set, split), int(1000 * time.time()), card.best_epoch
    return [
        Metric(name, value, now, step, model_id, data.name, data.digest, run_id)
        for name, value in card.metrics.get(split.split, {}).items()
    ]


def _best_version(client: MlflowClient, card: ModelCard) -> str:
    """The best on valid of the versions that can be compared; of equal ones the latest."""
    sign = 1.0 if card.direction == "minimize" else -1.0
    same = {f"mmsa.{name}": value for name, value in card.same.items()}
    quote = '"' if "'" in card.name else "'"
    versions = all_pages(client.search_model_versions, f"name = {quote}{card.name}{quote}")
    candidates = [v for v in versions if "mmsa.valid" in v.tags and v.tags.items() >= same.items()]
    best = min(candidates, key=lambda v: (sign * float(v.tags["mmsa.valid"]), -int(v.version)))
    return str(best.version)


def _signature(
    inputs: Mapping[str, str], outputs: Mapping[str, Literal["float", "string"]]
) -> ModelSignature:
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
    told = [ColSpec(DataType[kind], name) for name, kind in outputs.items()]
    return ModelSignature(Schema(columns), Schema(told))
