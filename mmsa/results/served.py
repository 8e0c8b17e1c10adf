"""A retrained model as MLflow loads it: a table of raw rows in, predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsa.data import Features, Split, Strings, Tokens
from mmsa.data.corpus import MODALITIES, Modality
from mmsa.errors import DataError
from mmsa.training import Predictor, load_bundle

if TYPE_CHECKING:
    from pandas import DataFrame


def _load_pyfunc(path: str) -> ServedModel:
    """What MLflow's ``loader_module`` calls with the folder of the model."""
    return ServedModel(load_bundle(Path(path)))


class ServedModel:
    """Predicts for the rows of a table."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def predict(self, table: DataFrame, params: dict[str, Any] | None = None) -> DataFrame:
        """One column, ``prediction``, in the order of the rows.

        Args:
            table: a column for each modality the model reads. ``text``: strings, or as below. ``audio``,
                ``vision``: frames, an array (time steps, dimensions) in each cell.
            params: what MLflow passes on; there are none.

        Raises:
            DataError: for cells that are neither.
        """
        from pandas import DataFrame

        columns = {name: _modality(name, table[name].tolist()) for name in MODALITIES if name in table}
        rows = Split(
            ids=np.arange(len(table)).astype(np.str_),
            groups=np.arange(len(table)).astype(np.str_),
            labels=np.zeros(len(table), np.float32),
            **columns,
        )
        return DataFrame({"prediction": self._predictor.predict(rows)}, index=table.index)


def _modality(name: str, cells: Sequence[Any]) -> Modality:
    if all(isinstance(cell, str) for cell in cells):
        return Strings(np.array(cells, np.str_))
    arrays = [np.asarray(cell) for cell in cells]
    shapes = {array.shape[1:] for array in arrays}
    if shapes == {()} and arrays[0].ndim == 1:
        offsets = np.cumsum([0, *(len(array) for array in arrays)])
        return Tokens(np.concatenate(arrays).astype(np.int64), offsets.astype(np.int64))
    if len(shapes) != 1 or arrays[0].ndim != 2:
        raise DataError(
            f"{name}: each cell must be a string, or an array (time steps, dimensions) of the same dimensions"
        )
    return Features.from_rows([array.astype(np.float32) for array in arrays], arrays[0].shape[1])
