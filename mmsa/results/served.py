"""The model that MLflow serves: a table of raw rows in, predictions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import MODALITIES, Features, Modality, Split, Strings, Tokens
from mmsa.data.inputs import FeatureInput, InputSpec, TextInput
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError
from mmsa.models.text import PretrainedConfig
from mmsa.training.bundle import load_bundle
from mmsa.training.predictor import Predictor

if TYPE_CHECKING:
    from pandas import DataFrame


def _load_pyfunc(path: str) -> ServedModel:
    """Entry point that MLflow calls, by its name, with the folder of the model."""
    return ServedModel(load_bundle(Path(path)))


class ServedModel:
    """Predicts the targets of each row of a table."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def predict(self, table: DataFrame, params: dict[str, Any] | None = None) -> DataFrame:
        """Predict; the result has the rows in their order, and the columns of ``output_columns``.

        Args:
            table: a column for each modality that the model reads. Cells of ``audio`` and ``vision`` are
                arrays (time steps, dimensions), nested lists or numpy; an empty one lacks the modality. Cells
                of ``text`` are strings, lists of token ids, or arrays like the others.
            params: part of MLflow's interface; not used.

        Raises:
            DataError: for cells of another shape, or with numbers that are not finite.
        """
        from pandas import DataFrame

        rows = rows_of(table, self._predictor.inputs, encodes_text(self._predictor))
        found = self._predictor.predict_all(rows)
        return DataFrame(told(self._predictor.inputs.targets, found), index=table.index)


def output_columns(targets: Sequence[TargetSpec]) -> dict[str, Literal["float", "string"]]:
    """The columns of predictions, and what is in them.

    ``prediction`` is the number on a scale, or the name of the most probable class; ``probability/<class>``
    is there for each class, or label. Columns of targets beside the primary one begin with ``<target>/``.
    """
    columns: dict[str, Literal["float", "string"]] = {}
    for target in targets:
        prefix = "" if target == targets[0] else f"{target.name}/"
        if target.kind != "multilabel":
            columns[f"{prefix}prediction"] = "float" if target.is_scale else "string"
        if not target.is_scale:
            columns |= {f"{prefix}probability/{name}": "float" for name in target.classes}
    return columns


def told(targets: Sequence[TargetSpec], outputs: Mapping[str, NDArray[np.floating[Any]]]) -> dict[str, Any]:
    """Predictions as columns, see ``output_columns``.

    Args:
        targets: of a model, the primary one first.
        outputs: by target, as ``Predictor.predict_all`` gives them.
    """
    columns: dict[str, Any] = {}
    for target in targets:
        prefix, output = "" if target == targets[0] else f"{target.name}/", outputs[target.name]
        if target.is_scale:
            columns[f"{prefix}prediction"] = output
            continue
        output_NK = np.stack([1 - output, output], axis=1) if target.kind == "binary" else output
        if target.kind != "multilabel":
            columns[f"{prefix}prediction"] = [target.classes[k] for k in output_NK.argmax(axis=1)]
        columns |= {f"{prefix}probability/{name}": output_NK[:, k] for k, name in enumerate(target.classes)}
    return columns


def encodes_text(predictor: Predictor) -> bool:
    """Whether a model has a text encoder of its own, for which strings and token ids can be given."""
    return isinstance(getattr(predictor.config.model, "text", None), PretrainedConfig)


def rows_of(table: DataFrame, inputs: InputSpec, encoded: bool) -> Split:
    """The rows of a table, see ``ServedModel.predict``; numbered, without labels.

    Args:
        table: with a column for each modality.
        inputs: of the model, for the widths of modalities that no row has, and the text that it reads.
        encoded: whether features of text are what an encoder of the model makes of strings or token ids.

    Raises:
        DataError: for cells of another shape, or with numbers that are not finite.
    """
    cells = {name: [*map(_given, table[name])] for name in MODALITIES if name in table}
    read = inputs.modalities().items()
    dims = {name: expected.dim for name, expected in read if isinstance(expected, FeatureInput)}
    return Split(
        ids=np.arange(len(table)).astype(np.str_),
        groups=np.arange(len(table)).astype(np.str_),
        labels=np.zeros(len(table), np.float32),
        text=_text(cells["text"], inputs.text, encoded) if "text" in cells else None,
        audio=_features("audio", cells["audio"], dims.get("audio", 0)) if "audio" in cells else None,
        vision=_features("vision", cells["vision"], dims.get("vision", 0)) if "vision" in cells else None,
    )


def _given(cell: Any) -> Any:
    """A cell, and None for what pandas has in the place of one that is not there."""
    return None if isinstance(cell, float) and np.isnan(cell) else cell


def _text(cells: Sequence[Any], expected: TextInput | FeatureInput | None, encoded: bool) -> Modality:
    """Strings, token ids or features, whichever the cells are; of cells without text what the model reads.

    Strings and token ids may be given where features are read, if they are encoded: the encoder is frozen
    then. Otherwise numbers are features, however whole they are.
    """
    given = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, str) for cell in given) and (given or expected == TextInput("strings")):
        return Strings(np.array([cell or "" for cell in cells], np.str_))
    arrays = [_array("text", row, cell) for row, cell in enumerate(cells)]
    # Whole numbers and not integers: JSON has doubles.
    are_ids = all(array.ndim == 1 and (array % 1 == 0).all() for array in arrays)
    may_be_ids = encoded or not isinstance(expected, FeatureInput)
    if may_be_ids and are_ids and (given or expected == TextInput("tokens")):
        offsets = np.cumsum([0, *(len(array) for array in arrays)])
        return Tokens(np.concatenate(arrays).astype(np.int64), offsets.astype(np.int64))
    return _features("text", cells, expected.dim if isinstance(expected, FeatureInput) else 0)


def _features(name: str, cells: Sequence[Any], dim: int) -> Features:
    """Features of nested lists or arrays; an empty cell, or null, lacks the modality.

    Args:
        name: of the modality, for messages.
        cells: one per row.
        dim: width of the frames, used where no cell has a frame.
    """
    arrays = [_array(name, row, cell) for row, cell in enumerate(cells)]
    dims = {array.shape[1] for array in arrays if array.ndim == 2}
    wrong = [row for row, array in enumerate(arrays) if array.ndim != 2 and array.size]
    if wrong or len(dims) > 1:
        found = f"row {wrong[0]} has {arrays[wrong[0]].ndim} axes" if wrong else f"found {sorted(dims)}"
        raise DataError(
            f"{name}: each cell must be an array (time steps, dimensions) of as many dimensions; {found}"
        )
    (dim,) = dims or {dim}
    return Features.from_rows([a.reshape(-1, dim).astype(np.float32) for a in arrays], dim)


def _array(name: str, row: int, cell: Any) -> NDArray[Any]:
    """A cell as an array of finite numbers."""
    try:
        array = np.asarray([] if cell is None else cell)
        finite = array.dtype.kind in "iuf" and bool(np.isfinite(array).all())
    except ValueError:  # lists of unequal length
        finite = False
    if not finite:
        raise DataError(f"{name}: row {row} is no array of finite numbers; frames are of equal length")
    return array
