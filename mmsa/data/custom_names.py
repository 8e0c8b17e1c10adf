"""What settings of data of one's own name and a file lacks, and which of its columns may be meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmsa.data.custom import CustomFileConfig, CustomTarget
from mmsa.data.custom_tables import Chosen, ColumnTable
from mmsa.data.validation import first_few
from mmsa.errors import Problem, did_you_mean, shown

_LACKS = "is not in the file"
_MOST_CLASSES = 20
"""Text of more different values than this is not taken for names of classes."""
_MOST_GUESSES = 3


def unknown_names(table: ColumnTable, settings: Mapping[str, str | None]) -> Iterator[Problem]:
    """A problem for each setting, by its path, whose column is not there."""
    for where, name in settings.items():
        if name is not None and name not in table.names:
            yield Problem(where, name, _LACKS, did_you_mean(name, table.names))


def lacking_inputs(
    table: ColumnTable, config: CustomFileConfig, found: Collection[str], spare: Sequence[str]
) -> Iterator[Problem]:
    """A problem for each modality of the settings without a column.

    Args:
        table: of the file.
        config: the settings.
        found: modalities that have a column.
        spare: columns that nothing is read from.
    """
    for modality in config.modalities:
        missing = [name for name in config.arrays.get(modality, (modality,)) if not table.has(name)]
        if modality in config.arrays:
            for name in missing:
                yield Problem(f"data.arrays.{modality}", name, _LACKS, did_you_mean(name, table.names))
        elif modality not in found:
            guesses = [name for name in spare if _may_be(table, name, modality)][:_MOST_GUESSES]
            ways = [f"name its column (data.arrays.{modality}={guesses[0]})"] if guesses else []
            ways += [f"leave it out (data.modalities=[{','.join(found)}])"] if found else []
            advice = " or ".join(ways) or f"The file has {first_few(table.names, 12) or 'nothing'}."
            rule = "must name its column, as none is called so"
            yield Problem(f"data.arrays.{modality}", None, rule, _sentence(advice))


def lacking_targets(
    table: ColumnTable, targets: Mapping[str, CustomTarget], spare: Sequence[str], train_N: Chosen
) -> Iterator[Problem]:
    """A problem for each column of a target that is not there.

    Args:
        table: of the file.
        targets: by their names.
        spare: columns that nothing is read from.
        train_N: rows whose labels may be looked at for advice.
    """
    for name, target in targets.items():
        for column in target.column or (name,):
            if column in table.names:
                continue
            near = did_you_mean(column, table.names)
            guesses = sorted(guess for other in spare if (guess := _guessed(table, other, train_N)))
            ways = "; or ".join(way for _, way in guesses[:_MOST_GUESSES])
            advice = f"It may be data.targets={ways}." if guesses else near
            yield Problem(f"data.targets.{name}", column, _LACKS, near if "mean" in near else advice)


def _may_be(table: ColumnTable, name: str, modality: str) -> bool:
    kind = table.kind(name)
    if kind != "text" or modality != "text":
        return kind == "frames" and modality != "text"
    some_N = np.arange(table.count(name)) < 50
    return any(" " in text.strip() for text in table.text(name, some_N).tolist())


def _guessed(table: ColumnTable, name: str, train_N: Chosen) -> tuple[int, str] | None:
    """A column as a target, after how many classes it has (0 for numbers); None for one that can be none."""
    kind = table.kind(name)
    if kind == "frames" or table.count(name) != len(train_N) or _may_be(table, name, "text"):
        return None
    values: NDArray[np.generic] = (table.text if kind == "text" else table.numbers)(name, train_N)
    different = sorted({value for value in values.tolist() if value not in ("", None)})
    if kind == "numbers":
        return 0, f"{{{name}: {{kind: {'binary' if set(different) == {0.0, 1.0} else 'regression'}}}}}"
    if not 2 <= len(different) <= min(_MOST_CLASSES, len(values) // 2):
        return None
    several = "multiclass" if len(different) > 2 else "binary"
    classes = ", ".join(shown(text)[1:-1] for text in different)
    return len(different), f"{{{name}: {{kind: {several}, classes: [{classes}]}}}}"


def _sentence(advice: str) -> str:
    return advice[:1].upper() + advice[1:].rstrip(".") + "."
