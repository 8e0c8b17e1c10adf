"""What readers share whose layout gives a split as columns: ids at once, all else when it is asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Features, Modality, ModalityName, Outline, Split, SplitName
from mmsa.data.readers.base import HOW_TO_SPLIT, Reader, assemble
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import finite_features, first_few, raise_data_error
from mmsa.errors import DataError, Problem, did_you_mean

InputName = Literal["strings", "tokens", "features", "audio", "vision"]
_FORMS: tuple[InputName, ...] = ("strings", "tokens", "features")

Labels = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True)
class Column:
    """One input of all rows of a split.

    Attributes:
        width: D; None for strings and tokens.
        read: reads its content.
    """

    width: int | None
    read: Callable[[], Modality]


@dataclass(frozen=True)
class Columns:
    """One split as a layout has it.

    Attributes:
        ids: (N,) unique names.
        groups: (N,) the video or person of each row.
        labels: functions that read the values of each target, by its name; ``""`` is a target that the
            layout has no name for.
        inputs: the columns that models may be given.
        problems: why the split cannot be opened, as far as that shows without looking at its content.
        unimodal: functions that read the labels of one modality alone.
        folds: a function that reads the folds that the file deals, as ``Split`` has them.
    """

    ids: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: Mapping[str, Labels]
    inputs: Mapping[InputName, Column]
    problems: tuple[Problem, ...] = ()
    unimodal: Mapping[ModalityName, Labels] = field(default_factory=dict)
    folds: Callable[[], NDArray[np.int8]] | None = None


class ColumnsReader(Reader):
    """Base of readers that say where each column comes from."""

    @abstractmethod
    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split that the file has.

        Raises:
            DataError: for a file that is damaged.
        """

    def named_targets(self) -> Sequence[TargetSpec]:
        """All targets that have names; the first is primary unless ``data.target`` names another."""
        return ()

    def targets(self) -> tuple[TargetSpec, ...]:
        """The targets of the file, the primary one first.

        Raises:
            DataError: for a ``data.target`` that is not one of them.
        """
        found, chosen = {target.name: target for target in self.named_targets()}, self.config.target
        if chosen is not None and chosen not in found:
            advice = did_you_mean(chosen, found) if found else "This file has one label a row: leave it out."
            problem = Problem("data.target", chosen, "is not a target of this file", advice)
            raise_data_error(str(self.path), [problem])
        first = [] if chosen is None else [found.pop(chosen)]
        return (*first, *found.values())

    def split_advice(self, split: SplitName) -> str:
        """What to do about a split that is missing, as a sentence."""
        return HOW_TO_SPLIT[split]

    def source_advice(self, modality: ModalityName) -> str:
        """Where a modality can be had that the file lacks, as a sentence after a space; mostly nowhere."""
        return ""

    def read(self, splits: Sequence[SplitName]) -> dict[SplitName, Split]:
        """Read the named splits."""
        missing = [split for split in splits if split not in self._columns]
        if missing:
            raise DataError(
                f"{self.path}: has no split {' and no '.join(missing)}; "
                f"it has {first_few(self._columns) or 'none'}. {self.split_advice(missing[0])}"
            )
        opened = {split: self._columns[split] for split in splits}
        problems = [
            problem
            for name, split in opened.items()
            for problem in (*split.problems, *self._missing(name, split))
        ]
        raise_data_error(str(self.path), problems)
        targets = self.targets()
        return {name: self._split(name, split, targets) for name, split in opened.items()}

    def outlines(self) -> dict[SplitName, Outline]:
        """Ids, groups and widths; no label and no feature is looked at."""
        return {name: self._outline(name, split) for name, split in self._columns.items()}

    @property
    def origin(self) -> str:
        """Scope in which ids are unique; empty where the name of the data set is enough."""
        return ""

    @cached_property
    def _columns(self) -> Mapping[SplitName, Columns]:
        return self.columns()

    @cached_property
    def _keys(self) -> Mapping[ModalityName, InputName]:
        """The input that each modality is read from, the same in all splits."""
        wanted: dict[ModalityName, InputName] = {}
        for name in self.config.modalities:
            if name != "text":
                wanted[name] = name
            elif self.config.text != "auto":
                wanted[name] = self.config.text
            else:
                shared = [form for form in _FORMS if all(form in s.inputs for s in self._columns.values())]
                wanted[name] = (*shared, "strings")[0]
        return wanted

    def _outline(self, name: SplitName, split: Columns) -> Outline:
        widths = {
            modality: split.inputs[key].width for modality, key in self._keys.items() if key in split.inputs
        }
        problems = (*split.problems, *self._missing(name, split))
        return Outline(split.ids, split.groups, widths, self.origin, problems)

    def _missing(self, name: SplitName, split: Columns) -> list[Problem]:
        """A problem for each input that the configuration asks for and the split lacks."""
        if not len(split.ids):
            return [Problem(name, "no rows", "must have rows", HOW_TO_SPLIT[name])]
        has = [modality for modality in ("text", "audio", "vision") if _has(split, modality)]
        problems = []
        for modality, key in self._keys.items():
            if key in split.inputs:
                continue
            advice = f"Write data.modalities: [{', '.join(has)}].{self.source_advice(modality)}"
            if modality in has:
                forms = [form for form in _FORMS if form in split.inputs]
                advice = f"Its text is {' or '.join(forms)}: write data.text: {forms[0]}."
            problems.append(Problem(f"{name}.{modality}", key, "is not in the file", advice))
        return problems

    def _split(self, name: SplitName, split: Columns, targets: Sequence[TargetSpec]) -> Split:
        primary, *further = [target.name for target in targets] or [""]
        inputs: dict[str, Any] = {modality: split.inputs[key].read() for modality, key in self._keys.items()}
        unimodal = {modality: read() for modality, read in split.unimodal.items() if modality in self._keys}
        others = {target: split.labels[target]() for target in further}
        source = f"{self.path} {name}"
        labels = split.labels[primary]()
        folds = None if split.folds is None else split.folds()
        return assemble(source, split.ids, split.groups, labels, inputs, unimodal, others, folds)


def _has(split: Columns, modality: str) -> bool:
    return any(key in split.inputs for key in (_FORMS if modality == "text" else (modality,)))


def ragged(rows: Sequence[NDArray[Any]], width: int, source: str) -> Features:
    """Features of rows of (T, ``width``) numbers, T of which may be 0; NaN and infinities become 0."""
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes inf, and then 0
        features = Features.from_rows([np.asarray(row, np.float32) for row in rows], width)
    values = features.values if features.values.flags.writeable else features.values.copy()
    return finite_features(values, features.offsets, source)
