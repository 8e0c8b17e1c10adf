"""A data set in memory: splits of three optional modalities with labels and groups, all read-only.

Shapes: N rows of one split, D feature dimensions, L the summed lengths of all rows.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.mapped import MappedFile
from mmsa.data.target_spec import Suite, TargetSpec
from mmsa.errors import DataError, Problem, SealedTest

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
ModalityName = Literal["text", "audio", "vision"]
MODALITIES: tuple[ModalityName, ...] = ("text", "audio", "vision")


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()  # the flag is the view's: whoever made the array may still write to it
    view.flags.writeable = False
    return view


def _gathered(
    values_L: NDArray[Any], offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values and offsets of some rows of a ragged array, in the order of ``rows``."""
    lengths = np.diff(offsets)[rows]
    taken = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return values_L[np.repeat(offsets[rows] - taken[:-1], lengths) + np.arange(taken[-1])], taken


class _Arrays:
    """Mixin of the records below: numpy arrays become read-only and enter the digest in field order."""

    def __post_init__(self) -> None:
        for name, value in self._arrays():
            object.__setattr__(self, name, _frozen(value))

    def _arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for column in fields(self):  # type: ignore[arg-type]
            value = getattr(self, column.name)
            if isinstance(value, np.ndarray):
                yield column.name, value

    def update(self, digest: hashlib._Hash) -> None:
        """Feed all arrays into ``digest``, with name, dtype and shape so that no two contents collide."""
        for name, array in self._arrays():
            if name == "holes":  # which no model sees; digests of before they were noted stay what they are
                continue
            digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)


@dataclass(frozen=True)
class Strings(_Arrays):
    """Raw text, one string a row.

    Attributes:
        values: (N,) unicode.
    """

    values: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64]) -> Strings:
        """The text of some rows, copied."""
        return Strings(self.values[rows])

    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each row, (N,)."""
        return np.array([len(text.split()) for text in self.values], dtype=np.int64)


@dataclass(frozen=True)
class Tokens(_Arrays):
    """Ragged token ids: row n is ``ids[offsets[n] : offsets[n + 1]]``.

    Attributes:
        ids: (L,) int64.
        offsets: (N + 1,) int64.
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: NDArray[np.int64]) -> Tokens:
        """The tokens of some rows, copied."""
        return Tokens(*_gathered(self.ids, self.offsets, rows))

    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each row, (N,)."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Features(_Arrays):
    """Ragged feature frames: row n is ``values[offsets[n] : offsets[n + 1]]``.

    One vector a row is the case where all lengths are 1. A row of length 0 lacks the modality.

    Attributes:
        values: (L, D) float32.
        offsets: (N + 1,) int64.
        mapped: the file that ``values`` are all of, if they lie in one; other processes map it again.
        holes: rising positions in the flattened ``values`` where the file has -inf, inf or NaN and something
            else stands now; None if there are none, or nobody will ask.
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    mapped: MappedFile | None = field(default=None, repr=False)
    holes: NDArray[np.int64] | None = field(default=None, repr=False)

    @classmethod
    def from_vectors(cls, vectors: NDArray[np.float32]) -> Features:
        """Features of one frame a row, from (N, D)."""
        return cls(np.asarray(vectors, np.float32), np.arange(len(vectors) + 1, dtype=np.int64))

    @classmethod
    def from_rows(cls, rows: list[NDArray[np.float32]], dim: int) -> Features:
        """Features from N arrays of shape (length, ``dim``), some of which may be empty."""
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        values = np.concatenate([*rows, np.empty((0, dim), np.float32)]).astype(np.float32, copy=False)
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __reduce__(self) -> tuple[Any, ...]:
        if self.mapped is None:
            return type(self), (self.values, self.offsets, None, self.holes)
        return _features_of, (self.mapped, self.offsets, self.holes)

    @property
    def dim(self) -> int:
        """D, the number of feature dimensions."""
        return int(self.values.shape[1])

    def take(self, rows: NDArray[np.int64]) -> Features:
        """The frames of some rows, copied."""
        values, offsets = _gathered(self.values, self.offsets, rows)
        if self.holes is None:
            return Features(values, offsets)
        frames_K, columns_K = np.divmod(self.holes, self.dim)
        # The frames that are taken, by their places before; holes of each lie one after the other.
        taken_L = _gathered(np.arange(len(self.values)), self.offsets, rows)[0]
        first_L = np.searchsorted(frames_K, taken_L, side="left")
        counts_L = np.searchsorted(frames_K, taken_L, side="right") - first_L
        before_L = np.cumsum(counts_L) - counts_L
        chosen = np.repeat(first_L - before_L, counts_L) + np.arange(counts_L.sum())
        holes = np.repeat(np.arange(len(taken_L)), counts_L) * self.dim + columns_K[chosen]
        return Features(values, offsets, holes=holes.astype(np.int64) if len(holes) else None)

    def filled(self, mean_D: NDArray[np.float32]) -> Features:
        """A copy with a number for each column in the place of what was not finite."""
        if self.holes is None:
            return self
        values = self.values.copy()
        values.reshape(-1)[self.holes] = mean_D[self.holes % self.dim]
        return Features(values, self.offsets, holes=self.holes)

    def flagged(self) -> Features:
        """With one more column: the part of each frame in whose place something else stands."""
        dim, filled_L = self.dim, np.zeros(len(self.values), np.int64)
        holes = self.holes
        if holes is not None:
            frames_K, columns_K = np.divmod(holes, dim)
            filled_L = np.bincount(frames_K, minlength=len(self.values))
            holes = frames_K * (dim + 1) + columns_K
        share_L1 = (filled_L / dim).astype(np.float32)[:, None]
        return Features(np.concatenate([self.values, share_L1], axis=1), self.offsets, holes=holes)

    def lengths(self) -> NDArray[np.int64]:
        """Number of frames of each row, (N,)."""
        return np.diff(self.offsets)


def _features_of(mapped: MappedFile, offsets: NDArray[np.int64], holes: NDArray[np.int64] | None) -> Features:
    return Features(mapped.open(), offsets, mapped, holes)


Modality = Strings | Tokens | Features


@dataclass(frozen=True)
class Outline:
    """What is known of a split that stays closed: its rows and widths, but no label and no feature.

    Attributes:
        ids: (N,) as in ``Split``.
        groups: (N,) as in ``Split``.
        widths: D of each modality; None for text that is strings or tokens.
        origin: scope in which ids are unique; empty where the data set's name is enough.
        problems: reasons why the split cannot be opened, as far as they show from outside.
    """

    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    widths: Mapping[ModalityName, int | None]
    origin: str = ""
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Split(_Arrays):
    """The rows of one split.

    Attributes:
        ids: (N,) unique names.
        groups: (N,) the video or speaker of each row; statistics resample whole groups.
        labels: float32 values of the primary target, (N,) or (N, K) for K labels at once; see ``TargetSpec``.
        text: None, as every modality, where the data set lacks it or the configuration leaves it out.
        audio: likewise.
        vision: likewise.
        unimodal_labels: (N,) float32 labels of single modalities, by annotators who were shown nothing else.
        further_targets: float32 values of the other targets by name, shaped likewise; NaN is missing.
        folds: (N, F) int8, where the file deals its rows to F folds itself: 1 held out, 0 trained on, -1
            neither; see ``mmsa.data.folds``.
    """

    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: NDArray[np.float32]
    text: Modality | None = None
    audio: Features | None = None
    vision: Features | None = None
    unimodal_labels: Mapping[ModalityName, NDArray[np.float32]] = field(default_factory=dict)
    further_targets: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    folds: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = {"groups": len(self.groups), "labels": len(self.labels)}
        for name in ("unimodal_labels", "further_targets"):  # mappings, which _Arrays does not look into
            columns = {key: _frozen(values) for key, values in getattr(self, name).items()}
            object.__setattr__(self, name, columns)
            kind = "labels" if name == "unimodal_labels" else "target"
            sizes |= {f"{key} {kind}": len(values) for key, values in columns.items()}
        sizes |= {name: len(modality) for name, modality in self.modalities().items()}
        sizes |= {} if self.folds is None else {"folds": len(self.folds)}
        wrong = {name: size for name, size in sizes.items() if size != len(self.ids)}
        if wrong:
            raise DataError(f"{len(self.ids)} ids, but {wrong} rows")
        if not self.modalities():
            raise DataError("a split needs at least one of text, audio and vision")

    def __len__(self) -> int:
        return len(self.ids)

    def modalities(self) -> dict[ModalityName, Modality]:
        """The modalities that are present, in the order of ``MODALITIES``."""
        present = {name: getattr(self, name) for name in MODALITIES}
        return {name: modality for name, modality in present.items() if modality is not None}

    def with_features(self, change: Callable[[ModalityName, Features], Features]) -> Split:
        """The split with each modality of features changed; text that is strings or tokens stays as it is."""
        parts = self.modalities().items()
        changed = {str(name): change(name, part) for name, part in parts if isinstance(part, Features)}
        return replace(self, **changed)  # type: ignore[arg-type]

    def take(self, rows: NDArray[np.int64]) -> Split:
        """The split of some rows alone, in the order of ``rows``; nothing is shared with this one."""
        arrays = {name: array[rows] for name, array in self._arrays()}
        modalities = {str(name): modality.take(rows) for name, modality in self.modalities().items()}
        unimodal = {name: labels[rows] for name, labels in self.unimodal_labels.items()}
        further = {name: values[rows] for name, values in self.further_targets.items()}
        return replace(self, **arrays, **modalities, unimodal_labels=unimodal, further_targets=further)  # type: ignore[arg-type]

    def outline(self) -> Outline:
        """The outline of this split, as if it were closed."""
        widths = {
            name: modality.dim if isinstance(modality, Features) else None
            for name, modality in self.modalities().items()
        }
        return Outline(self.ids, self.groups, widths)

    def know_digest(self, value: str | None) -> None:
        """Take a digest that is known already, so that the frames need not be read for it."""
        if value is not None:
            self.__dict__["digest"] = value

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything in the split."""
        digest = hashlib.sha256()
        self.update(digest)
        for name, modality in self.modalities().items():
            digest.update(f"{name}:{type(modality).__name__}".encode())
            modality.update(digest)
        for name, labels in self.unimodal_labels.items():
            digest.update(f"{name} labels:{labels.dtype.str}".encode())
            digest.update(np.ascontiguousarray(labels).data)
        for target, values in self.further_targets.items():
            digest.update(f"{target} target:{values.dtype.str}:{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Fold(_Arrays):
    """One way to learn from some rows and evaluate on others.

    Attributes:
        train: positions in the train split, ascending.
        held_out: positions in the valid split, ascending.
        repeat: folds of one repeat hold out different rows.
    """

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]
    repeat: int = 0


def imputed(splits: Mapping[SplitName, Split], learned: Sequence[Split]) -> dict[SplitName, Split]:
    """The splits with means of columns in the place of what was not finite, as far as that is noted.

    Args:
        splits: to fill.
        learned: what the means are of: their finite values only. A column without any has a mean of 0.
    """

    def filled(modality: ModalityName, features: Features) -> Features:
        if features.holes is None:
            return features
        return features.filled(_mean_of_finite([getattr(known, modality) for known in learned]))

    return {name: split.with_features(filled) for name, split in splits.items()}


def _mean_of_finite(parts: Sequence[Features]) -> NDArray[np.float32]:
    """(D,) means over all frames, without what was not finite and whatever stands there now."""
    total_D, count_D = np.zeros(parts[0].dim), np.zeros(parts[0].dim)
    for part in parts:
        total_D += part.values.sum(axis=0, dtype=np.float64)
        count_D += len(part.values)
        if part.holes is not None:
            columns_K = part.holes % part.dim
            standing_K = part.values.reshape(-1)[part.holes].astype(np.float64)
            total_D -= np.bincount(columns_K, standing_K, part.dim)
            count_D -= np.bincount(columns_K, minlength=part.dim)
    return np.where(count_D > 0, total_D / np.maximum(count_D, 1), 0).astype(np.float32)


class DataSet(ABC):
    """Base of the data sets: built from its ``Config``, opened as a corpus.

    Attributes:
        label_range: smallest and largest label the scale allows.
        suite: the metrics that its labels are scored with.
    """

    label_range: ClassVar[tuple[float, float]]
    suite: ClassVar[Suite]

    @abstractmethod
    def __init__(self, config: Any): ...

    @abstractmethod
    def open(self, splits: Sequence[SplitName]) -> Corpus:
        """Open the named splits.

        Raises:
            DataError: for a file that is missing, damaged, or not what the configuration says.
        """


@dataclass(frozen=True)
class Corpus:
    """The opened splits of a data set.

    A search opens train and valid only: the test split is not even in memory, and asking for it raises.

    Attributes:
        name: of the data set.
        label_range: smallest and largest label of the scale of the primary target.
        splits: opened splits by name.
        suite: the metrics that predictions of the primary target are scored with.
        outlines: of all splits of the data set, closed ones too; not pickled.
        targets: what can be predicted, the primary target first. Without any it is a number within
            ``label_range``, called ``label``; with some, they determine ``label_range`` and ``suite``.
        folds: empty for a run on train and valid as they are. With folds both hold all rows of development,
            and only ``fold`` says what is learned from and what is held out.

    Raises:
        DataError: for a split that lacks one of the targets.
    """

    name: str
    label_range: tuple[float, float]
    splits: Mapping[SplitName, Split]
    suite: Suite = "regression"
    outlines: Mapping[SplitName, Outline] = field(default_factory=dict)
    targets: tuple[TargetSpec, ...] = ()
    folds: tuple[Fold, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        if not self.targets:
            low, high = self.label_range
            plain = TargetSpec("label", low=low, high=high, suite=self.suite)
            object.__setattr__(self, "targets", (plain,))
        object.__setattr__(self, "label_range", self.target.scale)
        object.__setattr__(self, "suite", self.target.suite)
        for name, split in self.splits.items():
            missing = [target.name for target in self.targets[1:] if target.name not in split.further_targets]
            if missing:
                raise DataError(f"{self.name} {name}: has no values of the targets {', '.join(missing)}")

    @property
    def target(self) -> TargetSpec:
        """The primary target."""
        return self.targets[0]

    @property
    def has_test(self) -> bool:
        """Whether the data have a test split, sealed or open."""
        return "test" in self.splits or "test" in self.outlines

    def __getitem__(self, name: SplitName) -> Split:
        """The split of that name.

        Raises:
            SealedTest: for the test split of a corpus opened for a search.
            DataError: for a split the data set does not have.
        """
        if name in self.splits:
            return self.splits[name]
        if name == "test":
            raise SealedTest(f"{self.name}: the test split is sealed; only `launch/retrain.py` opens it")
        raise DataError(f"{self.name} has no {name} split, only {', '.join(self.splits)}")

    def values(self, split: SplitName, target: str) -> NDArray[np.float32]:
        """Values of a target, (N,) or (N, K), of the split of that name."""
        rows = self[split]
        return rows.labels if target == self.target.name else rows.further_targets[target]

    # A MappingProxyType cannot be pickled, and workers have no use for the names of all rows.
    def __reduce__(self) -> tuple[type[Corpus], tuple[Any, ...]]:
        settings = (self.name, self.label_range, dict(self.splits), self.suite)
        return type(self), (*settings, {}, self.targets, self.folds)

    @property
    def repeats(self) -> int:
        """How often rows are held out: 1 without folds."""
        return 1 + max((fold.repeat for fold in self.folds), default=0)

    def fold(self, number: int) -> Corpus:
        """The corpus of one fold, whose train and valid have no row in common. Its rows are copied."""
        fold = self.folds[number]
        splits: dict[SplitName, Split] = {
            "train": self["train"].take(fold.train),
            "valid": self["valid"].take(fold.held_out),
        }
        return replace(self, splits=imputed(splits, [splits["train"]]), outlines={}, folds=())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of train and valid, which is what a search sees, whether or not test is open as well."""
        parts = [self.splits[name].digest for name in ("train", "valid") if name in self.splits]
        if len(self.targets) > 1 or not self.target.is_plain:  # or digests of earlier versions would change
            parts.append(repr(self.targets))
        digest = hashlib.sha256("".join(parts).encode())
        for fold in self.folds:
            digest.update(f"fold of repeat {fold.repeat}".encode())
            fold.update(digest)
        return digest.hexdigest()
