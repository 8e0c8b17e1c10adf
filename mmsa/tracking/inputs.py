"""Data sets as inputs of runs in MLflow: which split, of which content, of how many rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmsa.interface import SplitCard

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset

_CONTEXT = "mlflow.data.context"
_DIGEST_LENGTH = 36  # characters that MLflow keeps


def data_set_of(name: str, split: SplitCard) -> Dataset:
    """A split in MLflow's terms; no row and no path is in it."""
    from mlflow.entities import Dataset

    return Dataset(
        name=f"{name} {split.split}",
        digest=split.digest[:_DIGEST_LENGTH],
        source_type="mmsa",
        source=json.dumps({"data_set": name, "split": split.split}),
        profile=json.dumps({"num_rows": split.num_rows, "num_groups": split.num_groups}),
    )


def log_splits(client: MlflowClient, run_id: str, name: str, splits: Iterable[SplitCard]) -> None:
    """Log the splits that a run reads; MLflow knows the same split of another run again."""
    from mlflow.entities import DatasetInput, InputTag

    inputs = [DatasetInput(data_set_of(name, split), [InputTag(_CONTEXT, split.split)]) for split in splits]
    if inputs:
        client.log_inputs(run_id, inputs)
