"""Reader of data of one's own: npz and safetensors files, csv and Parquet tables with npy files beside them.

``docs/data.md`` has the layout. Names that are used without being set are, in this order:

=========  ==============================================================
what       names
=========  ==============================================================
ids        ``id``; else the number of the row
groups     ``video_id``, ``group``; else each row is one
split      the only one with ``split`` in its name, else with ``fold``
text       ``raw_text``, ``text``; features ``text``, ``text_features``
audio      ``audio``
vision     ``vision``
target     ``label``
=========  ==============================================================
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, Features, Modality, SplitName, Strings
from mmsa.data.custom import CustomFileConfig, CustomTarget, format_of, table_file
from mmsa.data.custom_arrow import ArrowTable
from mmsa.data.custom_names import lacking_inputs, lacking_targets, unknown_names
from mmsa.data.custom_tables import LENGTHS, Chosen, ColumnTable, open_npz, open_safetensors
from mmsa.data.folds import shipped_folds
from mmsa.data.published import identify
from mmsa.data.readers.base import split_of
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import first_few, raise_data_error
from mmsa.errors import DataError, Problem, did_you_mean, shown

logger = logging.getLogger("mmsa.data")

_ARRAYS = {"npz": open_npz, "safetensors": open_safetensors}
_STRINGS, _FEATURES = ("raw_text", "text"), ("text", "text_features")
_GROUPS = ("video_id", "group")
_SHARED = ("speaker", "participant", "subject", "person", "patient", "video", "dialogue", "session")
_DEFAULT = "label"


class CustomReader(ColumnsReader):
    """Reader of the layouts above."""

    Config = CustomFileConfig
    config: CustomFileConfig

    def named_targets(self) -> Sequence[TargetSpec]:
        """The targets of the settings."""
        return [target.spec(name) for name, target in self._targets.items()]

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        if self._table.warning:
            logger.warning("%s: %s", self.path.name, self._table.warning)
        raise_data_error(str(self.path), self._lacking())
        names_N = self._split_names
        homes_N = self._homes
        homeless = names_N[homes_N == ""]
        if len(homeless):
            found = first_few(np.unique(homeless).tolist())
            logger.warning(
                "%s: %d rows belong to no split and are not used: they say %s",
                *(self.path.name, len(homeless), found),
            )
        if shared := self._unused_groups():
            logger.warning(
                "%s: each row is its own group. If rows of one %s belong together, write data.groups: %s; "
                "else intervals are too narrow",
                *(self.path.name, shared, shared),
            )
        inputs = self._inputs()
        return {
            split: self._of_split(split, homes_N == split, inputs) for split in SPLITS if split in homes_N
        }

    def interviewer_text(self, splits: Sequence[SplitName]) -> dict[SplitName, Strings]:
        """What ``arrays.interviewer`` names, for a check."""
        names = self.config.arrays.get("interviewer")
        if names is None:
            return {}
        homes_N = self._homes
        return {split: Strings(self._table.text(names[0], homes_N == split)) for split in splits}

    @property
    def origin(self) -> str:
        """Row numbers, which ids are where there are none, mean something in this very file only."""
        if self._id_column:
            return ""
        return identify(self.path)[0] if self.path.is_file() else str(self.path.absolute())

    def _unused_groups(self) -> str:
        """A column that by its name may say which rows belong together, where none is used for that."""
        names = [*self._table.names]
        if self.config.groups is not None or any(name in names for name in _GROUPS):
            return ""
        given = {self._id_column, *self._inputs().values()}
        given |= {column for name in self._targets for column in self._all_columns(name)}
        return next((name for name in names if name not in given and name.lower().startswith(_SHARED)), "")

    @cached_property
    def _targets(self) -> Mapping[str, CustomTarget]:
        return self.config.targets or {_DEFAULT: CustomTarget()}

    @cached_property
    def _table(self) -> ColumnTable:
        path = table_file(self.path)
        if (held := format_of(path)) in _ARRAYS:
            return _ARRAYS[held](path)
        as_text = [self.config.id or "id", *([self.config.groups] if self.config.groups else _GROUPS)]
        as_text += [self.config.split] if self.config.split else []
        as_text += [*_STRINGS, *(name for names in self.config.arrays.values() for name in names)]
        as_text += [
            column
            for name, target in self._targets.items()
            if target.classes and target.kind != "multilabel"
            for column in target.column or (name,)
        ]
        return ArrowTable(self.path, path, tuple(as_text), self.config.id or "id")

    @cached_property
    def _id_column(self) -> str:
        return self._chosen(self.config.id, ("id",), "data.id")

    def _lacking(self) -> list[Problem]:
        """All names that the file lacks, and what it has instead."""
        config, table = self.config, self._table
        settings = {"data.id": config.id, "data.groups": config.groups, "data.split": config.split}
        if config.folds is not None:
            settings["data.folds.array"] = config.folds.array
        problems = [*unknown_names(table, settings)]
        split = config.split if config.split in table.names else None
        if config.split is None:
            found = self._guessed_split
            split, problems = (found, problems) if isinstance(found, str) else (None, [*problems, found])
        inputs = self._inputs()
        used = {*settings.values(), split, *inputs.values(), *_GROUPS, "id"}
        used |= {name for names in config.arrays.values() for name in names}
        used |= {column for name in self._targets for column in self._all_columns(name)}
        lengths = {form.format(name) for form in LENGTHS for name in inputs.values()}
        spare = [name for name in table.names if name not in used | lengths]
        has = dict.fromkeys("text" if key in ("strings", "features") else key for key in inputs)
        problems += lacking_inputs(table, config, tuple(has), spare)
        if problems and split is None:
            return problems  # which rows may be looked at is not known
        return [*problems, *lacking_targets(table, self._targets, spare, self._homes == "train")]

    @cached_property
    def _split_column(self) -> str:
        """The column that says the split of a row; empty where folds are read and there is none."""
        if self.config.split is not None:
            return self._chosen(self.config.split, (), "data.split")
        found = self._guessed_split
        if isinstance(found, Problem):
            raise_data_error(str(self.path), [found])
        return str(found)

    @cached_property
    def _guessed_split(self) -> str | Problem:
        """The only column that can say the split of a row."""
        dealing = self.config.folds.array if self.config.folds is not None else None  # of names, perhaps
        names = [name for name in self._table.names if name != dealing]
        known = [name for name in names if "split" in name.lower()]
        known = known or [name for name in names if "fold" in name.lower()]
        known = [name for name in known if self._table.kind(name) == "text"]
        if len(known) == 1:
            return known[0]
        if self.config.folds is not None and not known:
            return ""
        rule = "must name the column that says whether a row is train, valid or test"
        numbers = [name for name in self._table.names if "split" in name.lower()] if not known else []
        if numbers:
            advice = f"{first_few(numbers)} holds no text: write the words train, valid and test in it."
            return Problem("data.split", None, rule, advice)
        advice = f"Here it may be {first_few(known)}." if known else _HOW_TO_SPLIT
        return Problem("data.split", None, rule, advice)

    @cached_property
    def _homes(self) -> NDArray[np.str_]:
        """(N,) the split of each row; empty for rows of none."""
        return np.array([split_of(name) for name in self._split_names.tolist()])

    @cached_property
    def _split_names(self) -> NDArray[np.str_]:
        """(N,) what the file calls the split of each row."""
        if not self._split_column:
            rows = self._table.count(self._id_column or self._all_columns(next(iter(self._targets)))[0])
            return np.full(rows, "train")
        rows = self._table.count(self._split_column)
        return self._table.text(self._split_column, np.ones(rows, bool))

    def _chosen(self, wanted: str | None, known: Sequence[str], where: str) -> str:
        """A column by its name, or the first of ``known`` that is there; empty without any."""
        if wanted is None:
            return next((name for name in known if name in self._table.names), "")
        if wanted not in self._table.names:
            advice = did_you_mean(wanted, self._table.names)
            raise DataError(f"{self.path}:\n{Problem(where, wanted, 'is not in the file', advice)}")
        return wanted

    def _of_split(self, split: SplitName, chosen_N: Chosen, inputs: Mapping[InputName, str]) -> Columns:
        table, source = self._table, f"{self.path.name} {split}"
        ids = np.flatnonzero(chosen_N).astype(np.str_)
        if self._id_column:
            ids = table.text(self._id_column, chosen_N)
        group_column = self._chosen(self.config.groups, _GROUPS, "data.groups")
        columns = {
            key: Column(
                None if key == "strings" else table.width(name),
                partial(self._input, key, name, chosen_N, f"{source} {name}"),
            )
            for key, name in inputs.items()
        }
        return Columns(
            ids,
            table.text(group_column, chosen_N) if group_column else ids,
            {name: partial(self._values, name, chosen_N) for name in self._targets},
            columns,
            folds=self._folds(chosen_N),
        )

    def _folds(self, chosen_N: Chosen) -> Callable[[], NDArray[np.int8]] | None:
        array = None if self.config.folds is None else self.config.folds.array
        if array is None:
            return None

        def read() -> NDArray[np.int8]:
            self._chosen(array, (), "data.folds.array")
            everything = np.ones(self._table.count(array), bool)
            values = self._table.cells(array, everything)
            if values.dtype.kind == "f" and (values == np.floor(values)).all():
                values = values.astype(np.int64)  # whole numbers of a csv file
            return shipped_folds(values, f"{self.path}: {array}", len(chosen_N))[chosen_N]

        return read

    def _inputs(self) -> dict[InputName, str]:
        """Columns that models may be given, by what they are."""
        table, found = self._table, dict[InputName, str]()
        named = self.config.arrays.get("text")
        for name in filter(table.has, named or dict.fromkeys((*_STRINGS, *_FEATURES))):
            key: InputName = "strings" if table.kind(name) == "text" else "features"
            if key == "strings" and named is None and "strings" in found:
                continue  # raw_text goes before text
            found.setdefault(key, name)
        if named and len(named) > 1 and "features" in found:
            rule = "only strings may have several sources, and one of these holds numbers"
            raise DataError(f"{self.path}:\n{Problem('data.arrays.text', list(named), rule)}")
        others: tuple[Literal["audio", "vision"], ...] = ("audio", "vision")
        for modality in others:
            (name,) = self.config.arrays.get(modality, (modality,))
            if table.has(name):
                found[modality] = name
        return found

    def _input(self, key: InputName, name: str, chosen_N: Chosen, source: str) -> Modality:
        if key != "strings":
            features: Features = self._table.frames(name, chosen_N, source)
            return features
        parts = [self._table.text(part, chosen_N) for part in self.config.arrays.get("text", (name,))]
        if len(parts) == 1:
            return Strings(parts[0])
        joined = [" ".join(filter(None, row)) for row in zip(*map(np.ndarray.tolist, parts), strict=True)]
        return Strings(np.array(joined, np.str_))

    def _all_columns(self, name: str) -> tuple[str, ...]:
        return self._targets[name].column or (name,)

    def _values(self, name: str, chosen_N: Chosen) -> NDArray[np.float32]:
        """Values of a target, (n,) or (n, K)."""
        target, columns = self._targets[name], self._all_columns(name)
        values = [self._column(name, target, column, chosen_N) for column in columns]
        found = values[0] if len(values) == 1 else np.stack(values, axis=1)
        with np.errstate(over="ignore"):
            return np.asarray(found, np.float32)

    def _column(self, name: str, target: CustomTarget, column: str, chosen_N: Chosen) -> NDArray[Any]:
        spec = target.spec(name)
        classes, first = spec.classes, spec.low if spec.kind == "ordinal" else 0
        values = {text: first + number for number, text in enumerate(classes)}
        # Names that are numbers, such as 1 to 3, are names wherever they stand: taken for positions, they
        # would be those of other classes.
        by_number = bool(classes) and all(map(_is_integer, classes))
        if self._table.kind(column) != "text":
            numbers = self._table.numbers(column, chosen_N)
            if not by_number or numbers.ndim != 1 or spec.kind not in ("binary", "multiclass"):
                return numbers
            known = {float(text): value for text, value in values.items()}
            self._refuse_unknown(
                name, classes, [f"{n:g}" for n in numbers.tolist() if n == n and n not in known]
            )
            return np.array([known.get(number, np.nan) for number in numbers.tolist()])
        texts = self._table.text(column, chosen_N)
        if not classes:
            return self._written_numbers(name, column, texts)
        if spec.kind == "multilabel":
            # A name of a label is none of its values: as a position among the labels it would be a 0 or 1.
            self._refuse_named_labels(name, column, classes, texts)
            return self._written_numbers(name, column, texts)
        place = {} if by_number else {f"{value:g}": value for value in values.values()}
        place |= values | {"": np.nan}
        self._refuse_unknown(name, classes, [text for text in texts.tolist() if text.strip() not in place])
        return np.array([place[text.strip()] for text in texts.tolist()])

    def _refuse_unknown(self, name: str, classes: Sequence[str], found: Sequence[str]) -> None:
        unknown = sorted(set(found))
        if unknown:
            rule = f"is none of the classes {', '.join(classes)}"
            advice = did_you_mean(unknown[0], classes)
            problem = Problem(f"data.targets.{name}.classes", first_few(map(shown, unknown)), rule, advice)
            raise_data_error(str(self.path), [problem])

    def _refuse_named_labels(
        self, name: str, column: str, classes: Sequence[str], texts: NDArray[np.str_]
    ) -> None:
        named = [text for text in dict.fromkeys(texts.tolist()) if not _is_number(text)]
        if named:
            rule = "is text, and several labels have a column each, of 0 and 1"
            advice = f"Write these columns, and name them: data.targets.{name}.column=[{', '.join(classes)}]."
            problem = Problem(f"column {column}", first_few(map(shown, named)), rule, advice)
            raise_data_error(str(self.path), [problem])

    def _written_numbers(self, name: str, column: str, texts: NDArray[np.str_]) -> NDArray[Any]:
        try:
            return np.array([float(text) if text.strip() else np.nan for text in texts.tolist()])
        except ValueError:
            wrong = first_few(dict.fromkeys(shown(text) for text in texts.tolist() if not _is_number(text)))
            rule = f"is text, and {name} has no classes"
            advice = f"Name them: targets: {{{name}: {{kind: multiclass, classes: [...]}}}}."
            if all(_is_number(text.replace(",", ".")) for text in texts.tolist()):
                rule, advice = "has a comma where a number has a point", "Write 0.5, not 0,5."
            problem = Problem(f"column {column}", wrong, rule, advice)
            raise_data_error(str(self.path), [problem])
            raise


_HOW_TO_SPLIT = (
    "No column is called so: add `split` with train, valid and test, name one in data.split, "
    "or have folds dealt with data.folds."
)


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return not text.strip()
    return True
