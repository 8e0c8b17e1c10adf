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
            table: a column for each modality the model reads. ``text``: strings, token ids, or as the others.
                ``audio``, ``vision``: an array (time steps, dimensions) in each cell.
            params: what MLflow passes on; there are none.

        Raises:
            DataError: for cells of another shape.
        """
        from pandas import DataFrame

        cells = {name: table[name].tolist() for name in MODALITIES if name in table}
        rows = Split(
            ids=np.arange(len(table)).astype(np.str_),
            groups=np.arange(len(table)).astype(np.str_),
            labels=np.zeros(len(table), np.float32),
            text=_text(cells["text"]) if "text" in cells else None,
            audio=_features("audio", cells["audio"]) if "audio" in cells else None,
            vision=_features("vision", cells["vision"]) if "vision" in cells else None,
        )
        return DataFrame({"prediction": self._predictor.predict(rows)}, index=table.index)


def _text(cells: Sequence[Any]) -> Modality:
    if all(isinstance(cell, str) for cell in cells):
        return Strings(np.array(cells, np.str_))
    arrays = [np.asarray(cell) for cell in cells]
    if all(array.ndim == 1 for array in arrays):
        offsets = np.cumsum([0, *(len(array) for array in arrays)])
        return Tokens(np.concatenate(arrays).astype(np.int64), offsets.astype(np.int64))
    return _features("text", cells)


def _features(name: str, cells: Sequence[Any]) -> Features:
    arrays = [np.asarray(cell, np.float32) for cell in cells]
    if any(array.ndim != 2 for array in arrays) or len({array.shape[1] for array in arrays}) != 1:
        raise DataError(f"{name}: each cell must be an array (time steps, dimensions) of as many dimensions")
    return Features.from_rows(arrays, arrays[0].shape[1])
