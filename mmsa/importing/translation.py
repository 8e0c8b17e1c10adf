"""Translation of one model of MMSA on one data set into a space."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsa.config import dump_yaml, parse
from mmsa.errors import ConfigError, Problem
from mmsa.importing.compatibility import compatible
from mmsa.importing.counterparts import COUNTERPARTS, IMPLIED, LOST_EVERYWHERE
from mmsa.importing.files import RunFile, Table, TuneFile
from mmsa.importing.settings import Carried, Counterpart
from mmsa.interface import Scalar
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.parameters import same

_WIDTH = 116
_TRIALS = 50  # of MMSA's tuning
_EPOCHS = 100
_PLAIN = re.compile(r"[\w./-]+")
_FIXED_NOTES = (
    "MMSA's tuning scores its candidates on test; here they are scored on valid.",
    "MMSA trains until early_stop epochs in a row do not improve on valid, without a limit on epochs.",
)


@dataclass
class Imported:
    """A space made from MMSA's settings of one model on one data set.

    Attributes:
        name: of the space file.
        config: the space.
        lost: settings that do not carry over, with reasons.
        mismatches: differences between tuning and training in MMSA, and between MMSA and this space.
    """

    name: str
    config: StudyConfig
    lost: list[str] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The space file."""
        values = self.config.model_dump(mode="json", exclude_defaults=True)
        return "\n".join(self._head()) + "\n\n" + dump_yaml(values)

    def _head(self) -> Iterator[str]:
        yield f"# MMSA's {self.name}: its choices, and the shipped point as trial 0."
        yield "#"
        yield f"#   python launch/search.py --space {self.name}.yaml --dry-run"
        yield f"#   python launch/search.py --space {self.name}.yaml --set data.path=<file>"
        for title, notes in (
            ("Does not carry over", self.lost),
            ("Differs", [*self.mismatches, *_FIXED_NOTES]),
        ):
            if notes:
                yield "#"
                yield f"# {title}:"
            for note in notes:
                yield from textwrap.wrap(
                    note, _WIDTH, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False
                )


class Translation:
    """Translates one model on one data set."""

    def __init__(self, model: str, data_set: str, run: RunFile, tune: TuneFile):
        self.model, self.data_set = model, data_set
        self.counterpart: Counterpart = COUNTERPARTS[model]
        common, by_data_set = run.models[model]
        self.data = _aligned(run.data[data_set], common)
        self.shipped: Table = {**self.data, **common, **by_data_set[data_set]}
        self.fixed, self.choices, self.drawn = tune.models.get(model, ({}, {}, frozenset()))
        self.tuned_data = _aligned(tune.data.get(data_set, {}), self.fixed)
        self.lost: list[str] = []
        self.mismatches: list[str] = []
        self.problems: list[Problem] = []

    def space(self) -> tuple[Imported | None, list[str]]:
        """The space; None and the reasons if there is none.

        Raises:
            ConfigError: for values that MMSA cannot mean by the setting.
        """
        base, parameters, dims = self._base(), self._parameters(), self._dims()
        self.lost += self._lost()
        self.mismatches += [*self._mismatches(), *self.counterpart.notes]
        if self.problems:
            raise ConfigError(self.model, self.problems)
        values = {
            "study": f"mmsa-{self.model.replace('_', '-')}-{self.data_set}",
            "base": base,
            "search": {
                "parameters": parameters,
                "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
                "trials": _TRIALS if parameters else 1,
                "sampler": {"name": "random"},
                "scheduler": {"name": "none"},
            },
            "resources": {"gpus_per_worker": 1.0, "cpus_per_worker": 4},
        }
        config, misfits = compatible(parse(StudyConfig, values, self.model), dims)
        if config is None:
            return None, misfits
        name = f"{self.model}_{self.data_set}"
        return Imported(name, config, [*self.lost, *misfits], self.mismatches), []

    def _base(self) -> dict[str, Any]:
        path = self.shipped.get("featurePath")
        if not isinstance(path, str) or not _PLAIN.fullmatch(path) or path.startswith("/") or ".." in path:
            rule = "must be a path below the folder of the data sets"
            self.problems.append(
                Problem("featurePath", path, rule, f"Write {self.data_set.upper()}/file.pkl.")
            )
        metric = self.shipped.get("KeyEval", "Loss")
        if metric != "Loss":
            self.lost.append(f"KeyEval {quoted(metric)}: selection is by valid/mae, MMSA's Loss")
        base: dict[str, Any] = {
            "data": {"name": self.data_set, "path": f"${{MMSA_DATA}}/{path}"},
            "train": {"epochs": _EPOCHS},
        }
        _merge(base, self.counterpart.base)
        for key, carried in self.counterpart.settings.items():
            if key in self.shipped:
                for element, paths in zip(
                    self._elements(key, self.shipped[key]), carried.elements, strict=True
                ):
                    for target in paths:
                        _set(base, target, element)
        return base

    def _parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        for key, carried in self.counterpart.settings.items():
            if (
                key not in self.shipped
                or key not in self.drawn
                or not isinstance(self.choices.get(key), list)
            ):
                continue
            shipped = self._elements(key, self.shipped[key])
            rows = [self._elements(key, choice) for choice in self.choices[key]]
            if shipped not in rows:
                self.mismatches.append(
                    f"{key}: the shipped {quoted(self.shipped[key])} is not among the choices of its tuning; "
                    "here it is one"
                )
            if carried.together:
                self.lost.append(f"{key}: its parts only fit together, so the shipped ones stay")
                continue
            if len(carried.elements) > 1:
                self.mismatches.append(f"{key}: its parts are drawn together there, and each by itself here")
            if any(len(paths) > 1 for paths in carried.elements):
                self.mismatches.append(f"{key}: is more than one setting here, each searched by itself")
            for position, paths in enumerate(carried.elements):
                values = _distinct([*(row[position] for row in rows if row), shipped[position]])
                if len(values) > 1:
                    parameters |= {path: {"type": "categorical", "choices": values} for path in paths}
        return parameters

    def _elements(self, key: str, value: Any) -> list[Scalar]:
        """The converted elements of a setting; zeros if something is wrong, which ``problems`` remembers."""
        carried: Carried = self.counterpart.settings[key]
        count = len(carried.elements)
        parts: Sequence[Any] = [value] if count == 1 else value if isinstance(value, list) else []
        try:
            if len(parts) != count:
                raise ValueError(f"must be a list of {count}")
            return [carried.convert(part) for part in parts]
        except (ValueError, OverflowError) as error:
            self.problems.append(Problem(key, value, str(error), "Take the value from MMSA's own file."))
            return [0] * count

    def _lost(self) -> Iterator[str]:
        known = {*self.counterpart.settings, *IMPLIED}
        for key in dict.fromkeys([*self.shipped, *self.choices]):
            if key in known:
                continue
            reason = self.counterpart.lost.get(key) or LOST_EVERYWHERE.get(key)
            value = self.shipped[key] if key in self.shipped else self.choices[key]
            yield f"{quoted(key)} {quoted(value)}: {reason or 'is not known to this import'}"

    def _mismatches(self) -> Iterator[str]:
        """Differences between the model that MMSA tunes and the one it trains."""
        if not self.choices:
            return
        fixed = {**self.tuned_data, **self.fixed}
        for key, value in self.shipped.items():
            if key in fixed and fixed[key] != value:
                yield f"{quoted(key)}: is trained as {quoted(value)}, but tuned as {quoted(fixed[key])}"
            elif key not in fixed and key not in self.choices and key in self.counterpart.settings:
                yield f"{quoted(key)}: is trained as {quoted(value)}, but is no setting of its tuning"
        for key in self.choices:
            if key.split(".")[0] not in self.drawn and isinstance(self.choices[key], list):
                yield f"{quoted(key)}: has choices that its tuning never draws"
        for key in sorted(self.drawn - self.choices.keys() - {name.split(".")[0] for name in self.choices}):
            yield f"{quoted(key)}: is to be drawn in its tuning, but has no choices"

    def _dims(self) -> list[int]:
        dims = self.data.get("feature_dims")
        if (
            isinstance(dims, list)
            and len(dims) == 3
            and all(type(dim) is int and 0 < dim < 1e5 for dim in dims)
        ):
            return dims
        rule = "must be the widths of text, audio and vision"
        self.problems.append(Problem("feature_dims", dims, rule, "Write [768, 5, 20]."))
        return []


def _aligned(by_alignment: Mapping[str, Table], common: Table) -> Table:
    """The settings of the data file that a model reads."""
    wanted = "aligned" if common.get("need_data_aligned") is True else "unaligned"
    return by_alignment.get(wanted) or by_alignment.get("unaligned") or {}


def _distinct(values: Sequence[Scalar]) -> list[Scalar]:
    kept: list[Scalar] = []
    for value in values:
        if not any(same(value, other) for other in kept):
            kept.append(value)
    return kept


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _set(values: dict[str, Any], path: str, value: Scalar) -> None:
    *parents, leaf = path.split(".")
    for key in parents:
        values = values.setdefault(key, {})
    values[leaf] = value


def quoted(value: object) -> str:
    """A value of another project's file, on one line."""
    text = value if isinstance(value, str) and _PLAIN.fullmatch(value) else ascii(value)
    return textwrap.shorten(text, 60, placeholder="...")
