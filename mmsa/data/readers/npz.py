"""Reader of the npz layout: one array per column, with all rows of all splits, and one that names the split.

==============  ==========================  =========================================================
array           shape                       meaning
==============  ==========================  =========================================================
id              (N,) str                    unique names; without it the row number
video_id        (N,) str                    groups; without it each row is a group of its own
raw_text        (N,) str                    strings
text            like audio                  features
audio, vision   (N, D) or (N, T, D)         one vector a row, or zero-padded frames
                (sum of length, D)          frames of all rows one after the other, if there is a length
length          (N,) int                    frames of each row
label           (N,) float                  or, where ``data.target`` names one of several:
labels          (N, K) float                K ratings of each row
label_names     (K,) str                    what they rate
split...        (N,) str                    train, valid (val, dev) or test; where folds are read, a file may
                                            lack it: all rows are train then
fold...         (N,) or (F, N)              folds, where ``data.folds.array`` names one (``mmsa.data.folds``)
==============  ==========================  =========================================================
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, Features, ModalityName, Outline, Split, SplitName, Strings
from mmsa.data.folds import shipped_folds
from mmsa.data.published import identify
from mmsa.data.readers.base import HOW_TO_SPLIT, Reader, assemble, frames, label_column, split_of, strings
from mmsa.data.readers.npy import Header
from mmsa.data.readers.npz_file import NpzFile
from mmsa.data.validation import finite_features, first_few, raise_data_error
from mmsa.errors import DataError, Problem, did_you_mean

logger = logging.getLogger("mmsa.data")


class NpzReader(Reader):
    """Reader of the layout above."""

    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """Read the named splits."""
        with closing(NpzFile(self.path)) as file:
            self._check_names(file)
            self._check_columns(file, self._split_column(file))
            names_N = self._split_names(file)
            homes_N = np.array([split_of(name) for name in names_N])
            _report_homeless(names_N[homes_N == ""], f"{self.path.name} {self._split_column(file)}")
            return {split: self._split(file, split, homes_N == split, names_N) for split in splits}

    def outlines(self) -> dict[SplitName, Outline]:
        """Ids and groups of each split, and the widths of the arrays, which all splits share."""
        with closing(NpzFile(self.path)) as file:
            homes_N = np.array([split_of(name) for name in self._split_names(file)])
            ids, groups = _ids_and_groups(file, np.ones(len(homes_N), np.bool_))
            widths = {name: self._width(file, name) for name in self.config.modalities}
            # Without ids a row is its number, which means something in this very file only.
            origin = "" if "id" in file.names else identify(self.path)[0]
            return {
                split: Outline(ids[homes_N == split], groups[homes_N == split], widths, origin)
                for split in SPLITS
                if split in homes_N
            }

    def _width(self, file: NpzFile, modality: ModalityName) -> int | None:
        header = file.header(self._array_of(file, modality))
        return None if header.holds_text else (header.shape or (0,))[-1]

    def _check_names(self, file: NpzFile) -> None:
        rated = self.config.target is None and "labels" in file.names
        names = (
            f": {first_few(strings(file.rows('label_names'), 'label_names'))}"
            if "label_names" in file.names
            else ""
        )
        advice = {"label": f"Name one of `label_names` in data.target{names}."} if rated else {}
        if "text" in file.names:
            advice["raw_text"] = "The array 'text' holds features; set data.text: features."
        needed = {*self._label_arrays(), *self._modality_arrays(file)} | (
            {self._folds} if self._folds else set()
        )
        raise_data_error(
            str(self.path),
            [
                Problem("array", name, "is not in the file", advice.get(name, did_you_mean(name, file.names)))
                for name in sorted(needed - set(file.names))
            ],
        )

    @property
    def _folds(self) -> str | None:
        """The array that deals rows to folds."""
        return None if self.config.folds is None else self.config.folds.array

    def _label_arrays(self) -> tuple[str, ...]:
        return ("label",) if self.config.target is None else ("labels", "label_names")

    def _modality_arrays(self, file: NpzFile) -> list[str]:
        return [self._array_of(file, name) for name in self.config.modalities]

    def _array_of(self, file: NpzFile, modality: ModalityName) -> str:
        if modality != "text":
            return modality
        if self.config.text == "tokens":
            raise DataError(f"{self.path}: an npz file has no tokens; use data.text: strings")
        if self.config.text == "features":
            return "text"
        if "raw_text" in file.names or "text" not in file.names:
            return "raw_text"
        holds_strings = file.header("text").holds_text
        return "text" if self.config.text == "auto" or holds_strings else "raw_text"

    def _holds_strings(self, file: NpzFile, array: str) -> bool:
        """Whether an array is read as strings; items that are none are refused later."""
        return array == "raw_text" or (array == "text" and file.header(array).holds_text)

    def _split_column(self, file: NpzFile) -> str | None:
        """The array that names the split of each row; None where folds do without one."""
        columns = [name for name in file.names if "split" in name]
        columns = columns or [name for name in file.names if "fold" in name and name != self._folds]
        if self.config.folds is not None and self.config.split is None and not columns:
            return None
        if self.config.split is None and len(columns) == 1:
            return columns[0]
        if self.config.split in file.names:
            return str(self.config.split)
        rule = "must name the array that says which split a row belongs to"
        advice = did_you_mean(str(self.config.split), columns)
        if not columns:
            advice = "No array is called so: add `split`, (N,) of the strings train, valid and test."
        raise DataError(f"{self.path}:\n{Problem('data.split', self.config.split, rule, advice)}")

    def _split_names(self, file: NpzFile) -> NDArray[np.str_]:
        """What the file calls the split of each row, (N,)."""
        column = self._split_column(file)
        if column is None:
            return np.full((*file.header(self._label_arrays()[0]).shape, 0)[0], "train")
        return strings(file.rows(column), column)

    def _check_columns(self, file: NpzFile, split_column: str | None) -> None:
        """Raise for all arrays at once whose type or shape is not that of the table above."""
        arrays = self._modality_arrays(file)
        features = [name for name in arrays if not self._holds_strings(file, name)]
        texts = {"id", "video_id", *arrays} - {*features}
        counted = split_column or self._label_arrays()[0]  # the array that has an item for each row
        flattened = ["length"] if features and "length" in file.names else []
        headers: dict[str, Header] = {}
        problems = []
        for name in dict.fromkeys(
            [counted, *sorted(texts & set(file.names)), *self._label_arrays(), *features, *flattened]
        ):
            try:
                headers[name] = file.header(name)
            except DataError as error:
                problems.append(str(error).removeprefix(f"{self.path}: "))
        if counted in headers:
            num_rows = (*headers[counted].shape, 0)[0]
            checks = {
                **dict.fromkeys(features, _features_problem if not flattened else _flattened_problem),
                **dict.fromkeys(texts, _text_problem),
                **({} if split_column is None else {split_column: _split_problem}),
                "label_names": _names_problem,
                "label": _label_problem,
                "labels": _ratings_problem,
                "length": _length_problem,
            }
            problems += [
                str(Problem(f"array {name}", str(header), *problem))
                for name, header in headers.items()
                if (problem := checks[name](header, num_rows)) is not None
            ]
        if flattened and not problems:
            problems = [str(problem) for problem in _count_problems(file, headers, features)]
        if problems:
            raise DataError(f"{self.path}:\n" + "\n".join(problems))

    def _split(
        self, file: NpzFile, split: SplitName, chosen_N: NDArray[np.bool_], names_N: NDArray[np.str_]
    ) -> Split:
        if not chosen_N.any():
            found = first_few(np.unique(names_N).tolist())
            raise DataError(
                f"{self.path}: no row belongs to {split}; {self._split_column(file)} has {found}. "
                f"{HOW_TO_SPLIT[split]}"
            )
        ids, groups = _ids_and_groups(file, chosen_N)
        modalities: dict[str, Any] = {
            name: self._modality(file, name, chosen_N, f"{self.path.name} {split} {name}")
            for name in self.config.modalities
        }
        labels = self._labels(file, chosen_N)
        folds = self._shipped(file, len(chosen_N))
        chosen = None if folds is None else folds[chosen_N]
        return assemble(f"{self.path} {split}", ids, groups, labels, modalities, folds=chosen)

    def _shipped(self, file: NpzFile, num_rows: int) -> NDArray[np.int8] | None:
        """The folds that the file deals itself, (N, F)."""
        if self._folds is None:
            return None
        return shipped_folds(file.rows(self._folds), f"{self.path}: array {self._folds}", num_rows)

    def _labels(self, file: NpzFile, chosen_N: NDArray[np.bool_]) -> NDArray[np.float32]:
        target = self.config.target
        if target is None:
            return label_column(_float32(file.rows("label", chosen_N)), f"{self.path}: label")
        names = strings(file.rows("label_names"), "label_names").tolist()
        if target not in names:
            advice = did_you_mean(target, names)
            raise DataError(f"{self.path}:\n{Problem('data.target', target, 'is not a label here', advice)}")
        ratings_NK = file.rows("labels", chosen_N)
        if ratings_NK.shape[1:] != (len(names),):
            raise DataError(f"{self.path}: labels have shape {ratings_NK.shape} for {len(names)} label_names")
        return _float32(ratings_NK[:, names.index(target)])

    def _modality(
        self, file: NpzFile, name: ModalityName, chosen_N: NDArray[np.bool_], source: str
    ) -> Strings | Features:
        array = self._array_of(file, name)
        if self._holds_strings(file, array):
            return Strings(strings(file.rows(array, chosen_N), array))
        if "length" not in file.names:
            return frames(file.rows(array, chosen_N), None, source)
        lengths_N = file.rows("length").astype(np.int64)
        values = _float32(file.rows(array, np.repeat(chosen_N, lengths_N)))
        offsets = np.concatenate([[0], np.cumsum(lengths_N[chosen_N])]).astype(np.int64)
        return finite_features(values, offsets, source)


def _ids_and_groups(file: NpzFile, chosen_N: NDArray[np.bool_]) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    ids = np.flatnonzero(chosen_N).astype(np.str_)
    if "id" in file.names:
        ids = strings(file.rows("id", chosen_N), f"{file.path}: id")
    groups = ids
    if "video_id" in file.names:
        groups = strings(file.rows("video_id", chosen_N), f"{file.path}: video_id")
    return ids, groups


def _report_homeless(names: NDArray[np.str_], source: str) -> None:
    if len(names):
        found = first_few(np.unique(names).tolist())
        logger.warning(
            "%s: %d rows belong to no split and are not used: they say %s", source, len(names), found
        )


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes inf, and is told of
        return values.astype(np.float32)


_Found = tuple[str, str] | None  # the rule that an array breaks, and what to write instead


def _split_problem(header: Header, num_rows: int) -> _Found:
    if header.holds_text and len(header.shape) == 1:
        return None
    return (
        "must be one string a row: train, valid (val, dev) or test",
        "Fold numbers are no splits: make an array of strings for each way to use the folds.",
    )


def _text_problem(header: Header, num_rows: int) -> _Found:
    if header.holds_text and header.shape == (num_rows,):
        return None
    advice = "Save it as np.str_: a number such as 0012 has lost its zeros." if header.holds_numbers else ""
    return f"is not a string for each of the {num_rows} rows", advice


def _names_problem(header: Header, num_rows: int) -> _Found:
    if header.holds_text and len(header.shape) == 1:
        return None
    return "must be text of shape (K,): what each column of `labels` rates", ""


def _label_problem(header: Header, num_rows: int) -> _Found:
    if header.holds_numbers and header.shape[:1] == (num_rows,):
        return None  # several numbers a row are told apart by what they are
    rule = f"must have a row for each id: a number for each of the {num_rows} rows"
    if not header.holds_numbers:
        return rule, "Save the labels as numbers, not as text."
    return rule, "Save several ratings as `labels` with `label_names`, and name one in data.target."


def _ratings_problem(header: Header, num_rows: int) -> _Found:
    if header.holds_numbers and header.shape[:1] == (num_rows,):
        return None  # the number of columns is compared with that of label_names
    return (
        f"must be numbers of shape (N, K), with N = {num_rows} rows and a column for each of label_names",
        "",
    )


def _features_problem(header: Header, num_rows: int) -> _Found:
    shape = header.shape
    if header.holds_numbers and len(shape) in (2, 3) and shape[0] == num_rows and 0 not in shape[1:]:
        return None
    if len(shape) == 2 and shape[0] != num_rows:
        return f"its shape is {shape}, but there are {num_rows} rows", "Frames of all rows need a `length`."
    return (
        f"must be numbers of shape (N, D) or (N, T, D), with N = {num_rows} rows, D and T at least 1",
        "Leave a modality that the data lack out of data.modalities." if 0 in shape else "",
    )


def _flattened_problem(header: Header, num_rows: int) -> _Found:
    if header.holds_numbers and len(header.shape) == 2 and header.shape[1] > 0:
        return None
    rule = "must be numbers of shape (sum of `length`, D): the frames of all rows one after the other"
    if len(header.shape) == 3:
        return rule, "Frames that are padded to (N, T, D) need no `length`: save the file without it."
    return rule, ""


def _length_problem(header: Header, num_rows: int) -> _Found:
    if header.holds_numbers and header.dtype.kind != "b" and header.shape == (num_rows,):
        return None
    return f"must be a whole number for each of the {num_rows} rows", ""


def _count_problems(file: NpzFile, headers: dict[str, Header], features: Iterable[str]) -> list[Problem]:
    """Problems of ``length``, found before anything is repeated by it: a wrong one could fill the memory."""
    lengths_N = file.rows("length")
    most = max((headers[name].shape[0] for name in features), default=0)
    wrong_N = ~((lengths_N >= 0) & (lengths_N <= most) & (lengths_N == np.floor(lengths_N)))
    if wrong_N.any():
        row = int(wrong_N.argmax())
        rule = f"must be whole numbers from 0 to {most}, the frames there are; {wrong_N.sum()} are not"
        return [Problem("array length", f"{lengths_N[row]} in row {row}", rule)]
    total = int(lengths_N.astype(np.int64).sum())
    return [
        Problem(
            f"array {name}",
            str(headers[name]),
            f"has {headers[name].shape[0]} frames, but `length` adds up to {total}",
        )
        for name in features
        if headers[name].shape[0] != total
    ]
