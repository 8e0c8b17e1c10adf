"""Reader of the canonical store (``mmsa.data.store``).

What is verified when:

============================  ===========================================================================
at every opening              the card; that every file is as large as it says; digests of ids, groups,
                              labels, text and offsets, which are read anyway; that offsets rise
at the first opening after a  digests of the frames of the opened splits, and that all are finite: they
file changed size or time     are read once, and ``verified.json`` notes it
by ``launch/data.py check``   digests of all files, whatever was noted
============================  ===========================================================================
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import (
    MODALITIES,
    SPLITS,
    Features,
    Modality,
    ModalityName,
    Outline,
    Split,
    SplitName,
    Strings,
    Tokens,
)
from mmsa.data.mapped import MappedFile
from mmsa.data.readers.base import HOW_TO_SPLIT, Reader, assemble, strings
from mmsa.data.readers.npy import Header, read_header, read_rows
from mmsa.data.store import (
    AGAIN,
    CARD,
    STAMP,
    TEXT_COLUMNS,
    StoreCard,
    StoredSplit,
    modality_of,
    read_card,
    sha256_of,
    stamp_of,
    write_stamp,
)
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError, Problem, did_you_mean, shown

logger = logging.getLogger("mmsa.data")

_CHUNK = 1 << 22  # numbers whose finiteness is looked at together


class StoreReader(Reader):
    """Reader of the folder of a store."""

    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """Open the named splits; frames are mapped, not read."""
        if self._card.warning:
            logger.warning("%s: %s", self.path.name, self._card.warning)
        missing = [split for split in splits if split not in self._card.splits]
        if missing:
            raise DataError(
                f"{self.path}: has no split {' and no '.join(missing)}; "
                f"it has {', '.join(self._card.splits)}. {HOW_TO_SPLIT[missing[0]]}"
            )
        opened = {name: self._split(name) for name in splits}
        self._verify(opened)
        return opened

    def targets(self) -> tuple[TargetSpec, ...]:
        """What can be predicted, as it was when the store was made."""
        return tuple(stored.target.spec(stored.name) for stored in self._card.targets)

    def outlines(self) -> dict[SplitName, Outline]:
        """Ids, groups and widths of all splits."""
        return {name: self._outline(name) for name in SPLITS if name in self._card.splits}

    def digests(self, splits: Sequence[SplitName]) -> dict[SplitName, str]:
        """Digests of splits, as far as they are known without reading all frames again."""
        known = self._stamp["digests"]
        return {name: known[key] for name in splits if (key := self._key(name)) in known}

    @cached_property
    def _card(self) -> StoreCard:
        return read_card(self.path)

    @cached_property
    def _stamp(self) -> dict[str, dict[str, Any]]:
        """What was verified before; nothing where the note is missing or is not one of ours."""
        try:
            stamp = json.loads((self.path / STAMP).read_text(encoding="utf-8"))
            return {part: dict(stamp[part]) for part in ("files", "digests")}
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return {"files": {}, "digests": {}}

    def _split(self, name: SplitName) -> Split:
        columns = self._card.splits[name].columns
        source = f"{self.path.name} {name}"
        modalities: dict[str, Any] = {
            modality: self._modality(name, modality) for modality in self.config.modalities
        }
        unimodal: dict[ModalityName, NDArray[np.float32]] = {
            modality: self._array(name, f"labels-{modality}")
            for modality in self.config.modalities
            if f"labels-{modality}" in columns
        }
        further = {
            target.name: self._array(name, f"target-{number}")
            for number, target in enumerate(self.targets()[1:], 1)
        }
        ids, groups = self._strings(name, "ids"), self._strings(name, "groups")
        labels, folds = self._array(name, "labels"), self._folds(name)
        return assemble(source, ids, groups, labels, modalities, unimodal, further, folds)

    def _folds(self, name: SplitName) -> NDArray[np.int8] | None:
        wanted = None if self.config.folds is None else self.config.folds.array
        if wanted is None:
            return None
        if wanted != self._card.folds or "folds" not in self._card.splits[name].columns:
            rule = "is not in the store"
            advice = f"It was converted with {self._card.folds or 'none'}; convert it again with this one."
            raise DataError(f"{self.path}:\n{Problem('data.folds.array', wanted, rule, advice)}")
        folds: NDArray[np.int8] = self._array(name, "folds").astype(np.int8)
        return folds

    def _outline(self, name: SplitName) -> Outline:
        stored = self._card.splits[name]
        widths: dict[ModalityName, int | None] = {}
        for modality in self.config.modalities:
            column = self._column(stored, modality)
            framed = column in ("audio", "vision", TEXT_COLUMNS["features"])
            widths[modality] = self._header(name, column).shape[-1] if framed else None
        return Outline(self._strings(name, "ids"), self._strings(name, "groups"), widths, stored.origin)

    def _column(self, stored: StoredSplit, modality: ModalityName) -> str:
        """The column that is read as a modality."""
        wanted = [modality] if modality != "text" else [*TEXT_COLUMNS.values()]
        if modality == "text" and self.config.text != "auto":
            wanted = [TEXT_COLUMNS[self.config.text]]
        for column in wanted:
            if column in stored.columns:
                return column
        held = [column for column in stored.columns if modality_of(column)]
        advice = did_you_mean(wanted[0], held) if modality == "text" else "Leave it out of data.modalities."
        raise DataError(f"{self.path}: has no {' or '.join(wanted)}, only {', '.join(held)}. {advice}")

    def _modality(self, name: SplitName, modality: ModalityName) -> Modality:
        stored = self._card.splits[name]
        column = self._column(stored, modality)
        if column == TEXT_COLUMNS["strings"]:
            return Strings(self._strings(name, column))
        offsets = self._offsets(name, column, stored.rows)
        if column == TEXT_COLUMNS["tokens"]:
            tokens = Tokens(self._array(name, column), offsets)
            if len(tokens.ids) and tokens.ids.min() < 0:
                raise DataError(f"{self.path}: {name}.{column} has token ids below 0. {AGAIN}")
            return tokens
        header = self._header(name, column)
        length, dim = (*header.shape, 0)[:2]
        if header.dtype != np.dtype("<f4") or len(header.shape) != 2 or not dim:
            raise DataError(f"{self.path}: {name}.{column} is {header}, not float32 frames. {AGAIN}")
        known = self._card.statistics.get(column) if name == "train" else None
        mean, scale = (None, None)
        if known is not None:
            mean, scale = np.array(known.mean, np.float32), np.array(known.scale, np.float32)
            if not (mean.shape == scale.shape == (dim,) and np.isfinite(mean).all() and (scale > 0).all()):
                raise DataError(f"{self.path / CARD}: statistics of {column} are damaged. {AGAIN}")
        path = (self.path / self._file(name, column)).absolute()
        source = MappedFile(str(path), (length, dim), header.start, mean, scale)
        return Features(source.open(), offsets, source, self._holes(name, column, length * dim))

    def _holes(self, name: SplitName, column: str, size: int) -> NDArray[np.int64] | None:
        """Where features were not finite; None if nowhere, or if that is not known and not asked for."""
        if not self._card.nonfinite and self.config.nonfinite == "impute":
            rule = "needs to know which values were not finite, which this store was made without"
            advice = "Convert the original file again (launch/data.py convert)."
            raise DataError(f"{self.path}:\n{Problem('data.nonfinite', 'impute', rule, advice)}")
        if f"{name}.{column}.nonfinite.npy" not in self._card.files:
            return None
        holes: NDArray[np.int64] = self._array(name, f"{column}.nonfinite")
        rising = holes.ndim == 1 and len(holes) and (np.diff(holes) > 0).all()
        if not rising or holes[0] < 0 or holes[-1] >= size:
            raise DataError(
                f"{self.path}: {name}.{column}.nonfinite must rise and stay below {size}. {AGAIN}"
            )
        return holes

    def _strings(self, name: SplitName, column: str) -> NDArray[np.str_]:
        content = self._array(name, column).tobytes()
        offsets = self._offsets(name, column, self._card.splits[name].rows)
        try:
            texts = [content[start:end].decode() for start, end in pairwise(offsets.tolist())]
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: {name}.{column}: {error}. {AGAIN}") from None
        return strings(texts, f"{self.path}: {name}.{column}")

    def _offsets(self, name: SplitName, column: str, rows: int) -> NDArray[np.int64]:
        offsets: NDArray[np.int64] = self._array(name, f"{column}.offsets")
        length = self._header(name, column).shape[0]
        if (
            offsets.shape != (rows + 1,)
            or offsets[0]
            or offsets[-1] != length
            or (np.diff(offsets) < 0).any()
        ):
            raise DataError(
                f"{self.path}: {name}.{column}.offsets must rise from 0 to {length} in {rows} steps. {AGAIN}"
            )
        return offsets

    def _file(self, name: SplitName, column: str) -> str:
        file = f"{name}.{column}.npy"
        if file not in self._card.files:
            raise DataError(f"{self.path / CARD}: has no file {file}. {AGAIN}")
        return file

    def _header(self, name: SplitName, column: str) -> Header:
        file = self._file(name, column)
        path, stored = self.path / file, self._card.files[file]
        try:
            with path.open("rb") as stream:
                header = read_header(stream, path.stat().st_size)
            if (header.dtype, header.shape) != (np.dtype(stored.dtype), stored.shape):
                raise ValueError(f"is {header}, and the card says {stored.dtype} of {stored.shape}")
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {shown(str(error), 300)}. {AGAIN}") from None
        return header

    def _array(self, name: SplitName, column: str) -> NDArray[Any]:
        """A small array, read as a whole and compared with its digest."""
        header, path = self._header(name, column), self.path / self._file(name, column)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self._card.files[path.name].sha256:
            raise DataError(f"{path}: its content is not what the card says. {AGAIN}")
        with path.open("rb") as stream:
            array = read_rows(stream, header)
        kind = "u" if column in ("ids", "groups", TEXT_COLUMNS["strings"]) else "f"
        kind = (
            "i"
            if column.endswith((".offsets", ".nonfinite")) or column in ("folds", TEXT_COLUMNS["tokens"])
            else kind
        )
        if array.dtype.kind != kind:
            raise DataError(f"{path}: is {header}, which is not what {column} is made of. {AGAIN}")
        return array

    def _frames(self, name: SplitName) -> list[str]:
        """Files of the frames that are read of a split."""
        stored = self._card.splits[name]
        columns = [self._column(stored, modality) for modality in self.config.modalities]
        return [self._file(name, column) for column in columns if column not in _READ_AT_ONCE]

    def _key(self, name: SplitName) -> str:
        """What determines the digest of a split: its columns and the digests of their files."""
        stored = self._card.splits[name]
        columns = [
            self._column(stored, modality) for modality in MODALITIES if modality in self.config.modalities
        ]
        others = [column for column in stored.columns if modality_of(column) is None]
        parts = [
            (column, self._card.files[self._file(name, column)].sha256)
            for column in ("ids", "groups", "labels", *columns, *others)
        ]
        parts += [
            (f"{column}.offsets", self._card.files[self._file(name, f"{column}.offsets")].sha256)
            for column in columns
        ]
        names = [target.name for target in self.targets()]
        folds = self.config.folds is not None and self.config.folds.array is not None
        return hashlib.sha256(
            json.dumps([parts, names, sorted(self.config.modalities), folds]).encode()
        ).hexdigest()

    def _verify(self, opened: dict[SplitName, Split]) -> None:
        """Read frames that changed since they were verified, and note digests that are not known yet."""
        files, digests = dict(self._stamp["files"]), dict(self._stamp["digests"])
        changed = False
        for name, split in opened.items():
            for file in self._frames(name):
                stamp = list(stamp_of(self.path / file))
                if list(files.get(file, ())) != stamp:
                    self._verify_frames(file)
                    files[file], changed = stamp, True
                    digests = {}
            key = self._key(name)
            if not isinstance(digests.get(key), str):
                digests[key], changed = split.digest, True
        if changed:
            self._stamp.update(files=files, digests=digests)
            if not write_stamp(self.path, files, digests):
                logger.info("%s: cannot be written to; its frames are read at every opening", self.path.name)

    def _verify_frames(self, file: str) -> None:
        path = self.path / file
        if sha256_of(path) != self._card.files[file].sha256:
            raise DataError(f"{path}: its content is not what the card says. {AGAIN}")
        name, column, _ = file.split(".", 2)
        header = self._header(name, column)  # type: ignore[arg-type]
        values = MappedFile(str(path), (header.shape[0], header.shape[1]), header.start).open()
        rows = max(1, _CHUNK // max(1, values.shape[1]))
        if not all(np.isfinite(values[at : at + rows]).all() for at in range(0, len(values), rows)):
            raise DataError(f"{path}: holds NaN or infinities, which a store never does. {AGAIN}")


_READ_AT_ONCE = (TEXT_COLUMNS["strings"], TEXT_COLUMNS["tokens"])
