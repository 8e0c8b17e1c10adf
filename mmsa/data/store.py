"""The canonical store: a folder of npy arrays and ``card.json``, which says what they are.

A store opens without its features being read: they are mapped, and workers share the pages. Rows of different
lengths lie one after the other, with offsets. Names of files are ``<split>.<column>.npy``:

=======================  ==================  ================================================================
column                   array               meaning
=======================  ==================  ================================================================
ids, groups              (bytes,) uint8      UTF-8, one after the other; ``<column>.offsets`` (N + 1,) int64
labels                   (N,), (N, K)        float32 values of the primary target
target-<number>          likewise            of another target, by its place on the card
labels-<modality>        (N,)                labels of single modalities
text-strings             (bytes,) uint8      like ids
text-tokens              (L,) int64          token ids; ``text-tokens.offsets``
text-features            (L, D) float32      frames, like ``audio`` and ``vision``; ``<column>.offsets``, and
                                             ``<column>.nonfinite`` (K,) int64 as ``Features.holes``: 0 stands
                                             there
folds                    (N, F) int64        the folds that the file deals, as ``Split.folds``
=======================  ==================  ================================================================

Shapes: N rows of one split, L frames or tokens of all rows, D features.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from mmsa.config import Block
from mmsa.data.corpus import Corpus, Features, Modality, ModalityName, Split, SplitName, Strings, Tokens
from mmsa.data.target_config import TargetConfig
from mmsa.errors import DataError, shown

CARD = "card.json"
STAMP = "verified.json"
TEXT_COLUMNS = {"strings": "text-strings", "tokens": "text-tokens", "features": "text-features"}

AGAIN = "The store is damaged or incomplete; convert it again (launch/data.py convert)."
_CHUNK = 1 << 22
_LARGEST_CARD = 256 << 20  # bytes
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Size = Annotated[int, Field(ge=0, lt=2**48)]


class StoredFile(Block):
    """One array of a store."""

    dtype: Literal["|u1", "<i8", "<f4"]
    shape: Annotated[tuple[_Size, ...], Field(strict=False, min_length=1, max_length=2)]
    sha256: _Sha256
    """Of the whole file."""


class StoredStatistics(Block):
    """Mean and scale of the columns of a modality, as a training has them."""

    mean: Annotated[tuple[float, ...], Field(strict=False)]
    scale: Annotated[tuple[float, ...], Field(strict=False)]


class StoredSplit(Block):
    """One split of a store."""

    rows: _Size
    origin: Annotated[str, Field(max_length=200)] = ""
    """Scope in which ids are unique; empty where the name of the data set is enough."""
    columns: Annotated[tuple[str, ...], Field(strict=False)]
    """Columns beside ids, groups and labels."""


class StoredTarget(Block):
    """A target of a store."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern="^[^/]+$")]
    target: TargetConfig


class StoreCard(Block):
    """What ``card.json`` holds."""

    format: Literal["mmsa store"] = "mmsa store"
    version: Literal[1] = 1
    data_set: Annotated[str, Field(max_length=200)]
    """Name of the data set it was converted as."""
    source: Annotated[str, Field(max_length=1000)]
    """Name of the file it was made from, with the digest of that file."""
    targets: Annotated[tuple[StoredTarget, ...], Field(strict=False, min_length=1)]
    """What can be predicted, the primary target first; an infinite bound is null."""
    folds: Annotated[str, Field(max_length=200)] | None = None
    """What the file calls the folds that it deals."""
    nonfinite: bool = False
    """Whether it says where features were not finite; stores of earlier versions do not."""
    warning: Annotated[str, Field(max_length=10_000)] = ""
    """What everybody who opens the store is told."""
    notes: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """What was unusual when it was made."""
    splits: Mapping[SplitName, StoredSplit]
    statistics: Mapping[str, StoredStatistics] = {}
    """Of the frames of train, by column."""
    files: Mapping[str, StoredFile]


def is_store(path: Path) -> bool:
    """Whether a folder looks like a store."""
    return (path / CARD).is_file()


def read_card(folder: Path) -> StoreCard:
    """The card of a store.

    Raises:
        DataError: for one that is missing, or not as ``write_store`` writes it.
    """
    path = folder / CARD
    try:
        if path.stat().st_size > _LARGEST_CARD:
            raise DataError(f"{path}: has more than {_LARGEST_CARD >> 20} MiB. {AGAIN}")
        return StoreCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {shown(where)} {shown(first['msg'], 300)}. {AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {shown(str(error), 300)}. {AGAIN}") from None


def write_store(
    folder: Path,
    corpus: Corpus,
    source: str,
    texts: Mapping[SplitName, Mapping[str, Modality]],
    statistics: Mapping[str, StoredStatistics],
    notes: tuple[str, ...] = (),
    warning: str = "",
    folds: str | None = None,
) -> StoreCard:
    """Write the opened splits of ``corpus`` as a store.

    The card is written last: a folder without one is no store, whatever ended the writing.

    Args:
        folder: that must not be there yet.
        corpus: whose opened splits are written.
        source: what they were read from, for the card.
        texts: further forms of the text of each split, by the names of ``TEXT_COLUMNS``.
        statistics: of the frames of train, by column.
        notes: what was unusual.
        warning: what everybody who opens the store is to be told.
        folds: what the file calls the folds that it deals.

    Raises:
        DataError: for a folder that is there.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise DataError(f"{folder}: is there already; name a folder that is not, or remove it") from None
    files: dict[str, StoredFile] = {}
    splits: dict[SplitName, StoredSplit] = {}
    for name, split in corpus.splits.items():
        columns: list[str] = []
        for column, array in _arrays(split, texts.get(name, {})):
            if "." not in column and column not in ("ids", "groups", "labels"):
                columns.append(column)
            file = f"{name}.{column}.npy"
            files[file] = _write(folder / file, array)
        origin = corpus.outlines[name].origin if name in corpus.outlines else ""
        splits[name] = StoredSplit(rows=len(split), origin=origin, columns=tuple(columns))
    card = StoreCard(
        data_set=corpus.name,
        source=source,
        targets=tuple(
            StoredTarget(name=target.name, target=TargetConfig.of(target)) for target in corpus.targets
        ),
        folds=folds,
        nonfinite=True,
        warning=warning,
        notes=notes,
        splits=splits,
        statistics=dict(statistics),
        files=files,
    )
    text = json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False)
    replace_file(folder / CARD, text + "\n")
    write_stamp(folder, {file: stamp_of(folder / file) for file in files}, {})
    return card


def _arrays(split: Split, texts: Mapping[str, Modality]) -> Iterator[tuple[str, NDArray[Any]]]:
    """The columns of a split, with the arrays that lie behind them."""
    yield from _string_arrays("ids", split.ids)
    yield from _string_arrays("groups", split.groups)
    yield "labels", split.labels
    for number, values in enumerate(split.further_targets.values(), 1):
        yield f"target-{number}", values  # not by its name, which need not be one of a file
    for modality, values in split.unimodal_labels.items():
        yield f"labels-{modality}", values
    forms: dict[str, Modality] = {**texts}
    if split.folds is not None:
        yield "folds", split.folds
    if split.text is not None:
        forms[form_of(split.text)] = split.text
    for form, text in forms.items():
        yield from _modality_arrays(TEXT_COLUMNS[form], text)
    for name in ("audio", "vision"):
        features: Features | None = getattr(split, name)
        if features is not None:
            yield from _modality_arrays(name, features)


def form_of(text: Modality) -> str:
    """Whether text is ``strings``, ``tokens`` or ``features``."""
    return type(text).__name__.lower()


def _modality_arrays(column: str, modality: Modality) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(modality, Strings):
        yield from _string_arrays(column, modality.values)
    else:
        yield column, modality.ids if isinstance(modality, Tokens) else modality.values
        yield f"{column}.offsets", modality.offsets
    if isinstance(modality, Features) and modality.holes is not None:
        yield f"{column}.nonfinite", modality.holes


def _string_arrays(column: str, texts_N: NDArray[np.str_]) -> Iterator[tuple[str, NDArray[Any]]]:
    encoded = [text.encode() for text in texts_N.tolist()]
    yield column, np.frombuffer(b"".join(encoded), np.uint8)
    yield f"{column}.offsets", np.concatenate([[0], np.cumsum([*map(len, encoded)])]).astype(np.int64)


def _write(path: Path, array: NDArray[Any]) -> StoredFile:
    dtype = {"u": "|u1", "i": "<i8", "f": "<f4"}[array.dtype.kind]
    array = np.ascontiguousarray(array, np.dtype(dtype))
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return StoredFile.model_validate({"dtype": dtype, "shape": array.shape, "sha256": sha256_of(path)})


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and time of the last change of a file: while they stay, its content is taken to stay."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def write_stamp(folder: Path, files: Mapping[str, tuple[int, int]], digests: Mapping[str, str]) -> bool:
    """Note in the store which files were verified, and digests of splits; whether that could be written."""
    try:
        replace_file(folder / STAMP, json.dumps({"files": files, "digests": digests}))
    except OSError:  # a store on a disk that is read-only is verified whenever it is opened
        return False
    return True


def replace_file(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def modality_of(column: str) -> ModalityName | None:
    """The modality that a column holds; None for labels and targets."""
    names: dict[str, ModalityName] = dict.fromkeys(TEXT_COLUMNS.values(), "text")
    return {**names, "audio": "audio", "vision": "vision"}.get(column)
