"""Predictions of a retraining's models on new rows, with the spread over its seeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmsa.data.catalogue import open_corpus
from mmsa.data.conversion import data_config
from mmsa.data.corpus import MODALITIES, Features, ModalityName, Split, SplitName
from mmsa.data.inputs import FeatureInput, InputSpec
from mmsa.errors import DataError, did_you_mean
from mmsa.results.served import encodes_text, rows_of, told
from mmsa.training.bundle import load_bundle
from mmsa.training.predictor import Predictor

if TYPE_CHECKING:
    from pandas import DataFrame

_SEED = "seed-"
_WRITTEN = (".csv", ".json", ".parquet")
_SPLITS: tuple[SplitName, ...] = ("train", "valid")
"""What a data set is asked for. Test is opened by retrain, once, and written down."""


def models_of(folder: Path, cache: Path | None = None) -> dict[str, Predictor]:
    """The models of a retraining by seed; a folder that is one model is the only one.

    Args:
        folder: ``runs/retrained/<study>-<digest>``, or a model in it.
        cache: folder that keeps encoded text.

    Raises:
        DataError: for a folder without a model.
    """
    bundles = sorted(folder.glob(f"{_SEED}*"), key=lambda path: (len(path.name), path.name))
    if not bundles:
        return {folder.name.removeprefix(_SEED): load_bundle(folder, cache)}
    return {path.name.removeprefix(_SEED): load_bundle(path, cache) for path in bundles}


def find_models(study: str, runs: Path) -> Path:
    """The folder of the latest retraining of a study.

    Raises:
        DataError: if none of its configurations was retrained here.
    """
    folder = runs / "retrained"
    found = [path for path in folder.glob(f"{study}-*") if path.name.rpartition("-")[0] == study]
    if not found:
        known = sorted({path.name.rpartition("-")[0] for path in folder.glob("*-*")})
        others = f". {did_you_mean(study, known)}" if known else ""
        raise DataError(
            f"{folder}: study {study!r} has no retrained models; retrain it first: launch/retrain.py{others}"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def rows_to_predict(
    path: str, predictor: Predictor, name: str | None, changes: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Sequence[Any]], Split]]:
    """Rows to predict, with the columns that name them; a data set gives its train and its valid.

    Args:
        path: a table (csv, json, jsonl, parquet) with a column for each modality and any others, whose cells
            are text or arrays, in csv as JSON; or a file or folder of a data set.
        predictor: whose inputs the rows shall have.
        name: of the data set, as in ``data.name``; None is what the file is known as. One that the model
            learned on is read with the settings that it had then.
        changes: settings of the data by dotted path.

    Raises:
        DataError: for what cannot be read.
        ConfigError: for settings that the data set does not have.
    """
    read = _TABLES.get(Path(path).suffix.lower())
    if read is None:
        learned_on = predictor.config.data
        if (filled := getattr(learned_on, "nonfinite", "zero")) != "zero":
            changes = {"data.nonfinite": filled, **changes}
        corpus = open_corpus(data_config(path, name, changes, like=learned_on), _SPLITS)
        for split in _SPLITS[:1] if corpus.folds else _SPLITS:  # with folds both hold all rows
            rows = _with_means(corpus[split], predictor.inputs)
            yield {"id": rows.ids.tolist(), "split": [split] * len(rows)}, rows
        return
    table = _table(Path(path), read, tuple(predictor.inputs.modalities()))
    kept = [column for column in table if column not in MODALITIES]
    yield (
        {str(column): table[column].tolist() for column in kept},
        rows_of(table, predictor.inputs, encodes_text(predictor)),
    )


def _with_means(rows: Split, inputs: InputSpec) -> Split:
    """The rows, with the means that a model has learned in the place of what was not finite."""

    def filled(name: ModalityName, features: Features) -> Features:
        known = inputs.modalities().get(name)
        if features.holes is None or not isinstance(known, FeatureInput) or features.dim != known.dim:
            return features
        return features.filled(known.mean)

    return rows.with_features(filled)


def predict_rows(
    models: Mapping[str, Predictor], parts: Iterable[tuple[Mapping[str, Sequence[Any]], Split]]
) -> dict[str, list[Any]]:
    """A table of predictions: what names the rows, and the columns of ``predictions``.

    A given column that is called as one of these stays, as ``given <name>``, and as ``given given <name>``
    where that is a column already, of an earlier prediction for instance.
    """
    table: dict[str, list[Any]] = {}
    for named, rows in parts:
        told = predictions(models, rows)
        given: dict[str, Sequence[Any]] = {}
        kept = {name for name in named if name not in told}
        for name, column in named.items():
            as_called = name
            while as_called in told or (as_called != name and as_called in kept | given.keys()):
                as_called = f"given {as_called}"
            given[as_called] = column
        for name, column in {**given, **told}.items():
            table.setdefault(name, []).extend(column)
    return table


def predictions(models: Mapping[str, Predictor], rows: Split) -> dict[str, list[Any]]:
    """Columns of predictions: of a number the mean over models, their spread, and each of them.

    Of classes they are those of ``told``, from the mean probabilities, and so they are of further targets.
    """
    outputs = [model.predict_all(rows) for model in models.values()]
    targets = next(iter(models.values())).inputs.targets
    means = {name: np.mean([output[name] for output in outputs], axis=0) for name in outputs[0]}
    columns = {name: list(values) for name, values in told(targets, means).items()}
    if not targets[0].is_scale:
        return columns
    by_model_SN = np.stack([output[targets[0].name] for output in outputs]).astype(np.float64)
    spread_N = by_model_SN.std(axis=0, ddof=1) if len(models) > 1 else np.full(len(rows), np.nan)
    return columns | {
        "prediction": by_model_SN.mean(axis=0).tolist(),
        "sd": spread_N.tolist(),
        "lowest": by_model_SN.min(axis=0).tolist(),
        "highest": by_model_SN.max(axis=0).tolist(),
        **{f"seed {seed}": row_N.tolist() for seed, row_N in zip(models, by_model_SN, strict=True)},
    }


def write_predictions(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """Write columns as csv, json (a list of rows) or parquet, by the ending of ``path``.

    Raises:
        DataError: for another ending, or columns that parquet cannot hold.
    """
    from pandas import DataFrame

    check_form(path)
    table = DataFrame(dict(columns))
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix.lower():
        case ".csv":
            table.to_csv(path, index=False)
        case ".json":
            table.to_json(path, orient="records", indent=1)
        case _:
            try:
                table.to_parquet(path, index=False)
            except (ValueError, TypeError) as error:  # of pyarrow alike: values of several kinds in a column
                raise DataError(
                    f"{path}: parquet does not take such columns: {error}; write .csv or .json"
                ) from error


def check_form(path: Path) -> None:
    """Refuse a table that ``write_predictions`` could not write, before anything is predicted for it.

    Raises:
        DataError: for another ending than those of tables.
    """
    if path.suffix.lower() not in _WRITTEN:
        ending = path.suffix or "no ending"
        raise DataError(f"{path}: {ending} is no form of a table: write {' or '.join(_WRITTEN)}")


def _table(path: Path, read: Callable[[Path], DataFrame], reads: Sequence[ModalityName]) -> DataFrame:
    try:
        table = read(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # of pandas, json and pyarrow alike
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]}: {error}") from error
    if not len(table):
        raise DataError(f"{path}: has no rows; give one for each prediction")
    if not set(table.columns) & set(MODALITIES):
        raise DataError(
            f"{path}: has the columns {', '.join(map(str, table.columns))}; a table has a column for each "
            f"modality that the model reads: {', '.join(reads)}"
        )
    return table


def _read_csv(path: Path) -> DataFrame:
    """A csv file, whose cells of frames are JSON. Numbers are read as such where that loses nothing.

    What was said may be ``42`` or ``None``, and an id ``0012``, ``1.10`` or one of 20 digits.
    """
    from pandas import read_csv, to_numeric

    table = read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    for name in table.columns:
        if name in MODALITIES:
            table[name] = [_cell(cell, name == "text") for cell in table[name]]
            continue
        with suppress(ValueError):  # a column of text
            numbers = to_numeric(table[name])
            if (numbers.astype(str) == table[name]).all():
                table[name] = numbers
    return table


def _cell(cell: object, may_be_text: bool) -> object:
    """A cell of csv: frames or tokens if it is a list, nothing if it is empty, and text otherwise."""
    if not isinstance(cell, str):
        return None
    if cell.startswith("["):
        try:
            return json.loads(cell)
        except ValueError:
            if not may_be_text:  # as "[laughs] well" is
                raise
    return cell


def _read_json(path: Path) -> DataFrame:
    from pandas import DataFrame

    text = path.read_text(encoding="utf-8")
    lines = path.suffix.lower() == ".jsonl"
    return DataFrame([json.loads(line) for line in text.splitlines() if line] if lines else json.loads(text))


def _read_parquet(path: Path) -> DataFrame:
    from pandas import read_parquet

    table = read_parquet(path)
    for name in set(MODALITIES) & set(table.columns):
        table[name] = [_plain(cell) for cell in table[name]]
    return table


def _plain(cell: Any) -> Any:
    """Nested lists in place of arrays of arrays, which is how parquet's lists of lists are read."""
    return [_plain(part) for part in cell] if isinstance(cell, np.ndarray) and cell.dtype == object else cell


_TABLES: Mapping[str, Callable[[Path], DataFrame]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".parquet": _read_parquet,
}
