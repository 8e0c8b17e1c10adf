"""Folds: several ways to learn from some rows of development and evaluate on the others.

A single valid split of 50 people cannot choose between configurations. With folds every row of development
(train and, where there is one, valid) is held out once, by a model that never saw its group. They are dealt
here, or shipped with the data as an array. Test takes no part.

Shapes: N rows, F folds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmsa.config import Block
from mmsa.data.corpus import Corpus, Features, Fold, Outline, Split, SplitName, Strings, Tokens
from mmsa.errors import DataError, Problem, did_you_mean, shown

LABEL = "label"
"""What stratification calls the primary target."""
_MOST_BINS = 5
_SHARE_OF_CLASS = 2  # a stratum needs so many rows for each fold, or it is merged with others
_HELD_OUT = {"valid": 1, "validation": 1, "val": 1, "dev": 1, "development": 1, "train": 0, "training": 0}


class FoldsConfig(Block):
    """How rows of development are dealt to folds, and how the models of a trial are trained on them."""

    k: Annotated[int, Field(ge=2, le=100)] = 5
    """Number of folds of each repeat."""
    repeats: Annotated[int, Field(ge=1, le=20)] = 1
    """How often all rows are dealt anew; a trial trains ``k`` times ``repeats`` models."""
    by: Literal["group", "row"] = "group"
    """What is dealt: whole videos or speakers, or single rows of data that have neither."""
    stratify: Annotated[tuple[str, ...], Field(strict=False)] = (LABEL,)
    """What shall be spread evenly over folds: ``label``, cut into bins where it is a number, and targets
    beside it by their names; an empty list deals at random."""
    array: str | None = None
    """Name of an array of the file that deals its rows itself; ``k``, ``repeats``, ``by`` and ``stratify``
    are not used then."""
    mode: Literal["lockstep", "sequential"] = "lockstep"
    """``lockstep`` keeps the models of all folds on the device; ``sequential`` one, and the others in the
    machine's memory between their turns. Both give the same numbers."""
    final: Literal["refit", "bag"] = "refit"
    """What a retraining makes: one model trained on all rows of development, for as many epochs as the folds
    chose, or the mean of the models of the folds."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of the dealing. Trials of a study share it, so that all are compared on the same folds."""


def with_folds(corpus: Corpus, config: FoldsConfig) -> Corpus:
    """The corpus with train and valid pooled and dealt to folds.

    Args:
        corpus: with train open, and valid where the data set has one.
        config: how to deal.

    Raises:
        DataError: with everything that keeps these rows from being dealt like that.
    """
    parts: list[SplitName] = [name for name in ("train", "valid") if name in corpus.splits]
    pool = together([corpus[name] for name in parts])
    folds = _shipped(pool, config.array, corpus.name) if config.array else _dealt(pool, config, corpus.name)
    _refuse_useless(pool, folds, corpus.name)
    evaluated = np.unique(np.concatenate([fold.held_out for fold in folds]))
    whole = len(evaluated) == len(pool)
    splits = {**corpus.splits, "train": pool, "valid": pool if whole else pool.take(evaluated)}
    folds = tuple(replace(fold, held_out=np.searchsorted(evaluated, fold.held_out)) for fold in folds)
    return replace(corpus, splits=splits, folds=folds, outlines=_outlines(corpus, parts, splits))


def together(splits: Sequence[Split]) -> Split:
    """One split with the rows of all, in order. Modalities and columns that only some have are left out."""
    if len(splits) == 1:
        return splits[0]
    first = splits[0]
    modalities = {
        name: _joined([split.modalities()[name] for split in splits])
        for name in first.modalities()
        if all(name in split.modalities() for split in splits)
    }
    unimodal = _columns([split.unimodal_labels for split in splits])
    shipped = [split.folds for split in splits if split.folds is not None]
    return Split(
        ids=np.concatenate([split.ids for split in splits]),
        groups=np.concatenate([split.groups for split in splits]),
        labels=np.concatenate([split.labels for split in splits]),
        **modalities,
        unimodal_labels=unimodal,
        further_targets=_columns([split.further_targets for split in splits]),
        folds=np.concatenate(shipped) if len(shipped) == len(splits) else None,
    )


def _columns(parts: Sequence[Mapping[Any, NDArray[np.float32]]]) -> dict[Any, NDArray[np.float32]]:
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
        if all(name in part for part in parts)
    }


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Strings):
        return Strings(np.concatenate([part.values for part in parts]))
    lengths = np.concatenate([part.lengths() for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if isinstance(first, Tokens):
        return Tokens(np.concatenate([part.ids for part in parts]), offsets)
    starts = np.cumsum([0, *(part.values.size for part in parts)])
    holes = [part.holes + start for part, start in zip(parts, starts, strict=False) if part.holes is not None]
    values = np.concatenate([part.values for part in parts])
    return Features(values, offsets, holes=np.concatenate(holes) if holes else None)


def _outlines(
    corpus: Corpus, parts: Sequence[SplitName], splits: Mapping[SplitName, Split]
) -> dict[SplitName, Outline]:
    """Outlines of the pooled splits, in which every row that a search sees has its name."""
    known = [corpus.outlines[name] for name in parts if name in corpus.outlines]
    origin = known[0].origin if known else ""
    pooled = {name: replace(splits[name].outline(), origin=origin) for name in ("train", "valid")}
    return {**corpus.outlines, **pooled}  # type: ignore[dict-item]


def _dealt(pool: Split, config: FoldsConfig, source: str) -> tuple[Fold, ...]:
    groups_N = pool.groups if config.by == "group" else pool.ids
    num_groups = len(np.unique(groups_N))
    problems = []
    if num_groups < config.k:
        rule = f"{num_groups} groups cannot fill so many folds: no group may be divided"
        problems.append(Problem("data.folds.k", config.k, rule, f"Write {max(2, num_groups)} or fewer."))
    if config.by == "row" and len(np.unique(pool.groups)) < len(pool):
        rule = "would put rows of one video or speaker into several folds, and models recognise speakers"
        problems.append(Problem("data.folds.by", config.by, rule, "Write group."))
    columns = {LABEL: pool.labels, **pool.further_targets}
    for position, name in enumerate(config.stratify):
        if name not in columns:
            rule = "is nothing that rows can be stratified by"
            problems.append(
                Problem(f"data.folds.stratify.{position}", name, rule, did_you_mean(name, columns))
            )
    if problems:
        raise DataError(f"{source}:\n" + "\n".join(map(str, problems)))
    strata_N = _strata([columns[name] for name in config.stratify], config.k)
    folds = [
        Fold(train, held_out, repeat)
        for repeat in range(config.repeats)
        for train, held_out in _splits(strata_N, groups_N, config, repeat)
    ]
    _refuse_equal_repeats(folds, config, source)
    return tuple(folds)


def _refuse_equal_repeats(folds: Sequence[Fold], config: FoldsConfig, source: str) -> None:
    """Refuse repeats that repeat: groups of very different labels can be spread evenly in one way only.

    Raises:
        DataError: for the first two that are equal.
    """
    seen: dict[frozenset[bytes], int] = {}
    for repeat in range(config.repeats):
        dealt = frozenset(fold.held_out.tobytes() for fold in folds if fold.repeat == repeat)
        if dealt in seen:
            rule = f"repeat {repeat} deals the same folds as repeat {seen[dealt]}"
            advice = "Write stratify: [] to deal at random, or repeats: 1."
            raise DataError(f"{source}:\n{Problem('data.folds.repeats', config.repeats, rule, advice)}")
        seen[dealt] = repeat


def _splits(
    strata_N: NDArray[np.int64] | None, groups_N: NDArray[np.str_], config: FoldsConfig, repeat: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    # Here, since the process that reads files imports this module and has no use for scikit-learn.
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    seed = int(np.random.SeedSequence([config.seed, repeat]).generate_state(1)[0])
    if strata_N is None:
        splitter: Any = GroupKFold(config.k, shuffle=True, random_state=seed)
    else:
        splitter = StratifiedGroupKFold(config.k, shuffle=True, random_state=seed)
    stratified_N = np.zeros(len(groups_N)) if strata_N is None else strata_N
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare strata, which were merged as far as possible
        for train, held_out in splitter.split(groups_N, stratified_N, groups_N):
            yield np.sort(train).astype(np.int64), np.sort(held_out).astype(np.int64)


def _strata(columns: Sequence[NDArray[Any]], k: int) -> NDArray[np.int64] | None:
    """(N,) the stratum of each row; None without anything to stratify by.

    Rows of a combination that is too rare for every fold to get some join the rows that agree in the first
    column.
    """
    if not columns:
        return None
    codes = [_codes(column, k) for column in columns]
    joint_N = codes[0]
    for code_N in codes[1:]:
        finer_N = np.unique(np.stack([joint_N, code_N]), axis=1, return_inverse=True)[1].reshape(-1)
        counts = np.bincount(finer_N)
        rare_N = counts[finer_N] < k
        joint_N = np.where(rare_N, joint_N, joint_N.max() + 1 + finer_N)
    strata_N: NDArray[np.int64] = np.unique(joint_N, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return strata_N


def _codes(column: NDArray[Any], k: int) -> NDArray[np.int64]:
    """(N,) classes of a column: its values where they are few, otherwise bins of as many rows each."""
    flat_N = column if column.ndim == 1 else np.unique(column, axis=0, return_inverse=True)[1].reshape(-1)
    if flat_N.dtype.kind == "f":
        flat_N = np.where(np.isnan(flat_N), np.inf, flat_N)  # rows without a value are a class of their own
    _, code_N, counts = np.unique(flat_N, return_inverse=True, return_counts=True)
    code_N = code_N.reshape(-1)
    if counts.min() < _SHARE_OF_CLASS * k and flat_N.dtype.kind != "U":
        bins = max(1, min(_MOST_BINS, len(flat_N) // (_SHARE_OF_CLASS * k)))
        # By the share of rows at or below each value, so that equal values always share a bin.
        below = (np.cumsum(counts) - counts / 2) / len(flat_N)
        code_N = np.minimum((below * bins).astype(np.int64), bins - 1)[code_N]
    return np.asarray(code_N, np.int64)


def _shipped(pool: Split, array: str, source: str) -> tuple[Fold, ...]:
    if pool.folds is None:
        rule = "was not read: this layout brings no folds of its own"
        advice = "Leave it out to have folds dealt, or use an npz file or data of your own (docs/data.md)."
        raise DataError(f"{source}:\n{Problem('data.folds.array', array, rule, advice)}")
    # Folds that hold out rows which an earlier one has held out begin another repeat.
    folds: list[Fold] = []
    repeat, used = 0, np.zeros(len(pool), np.bool_)
    problems = []
    for number, codes_N in enumerate(pool.folds.T):
        train, held_out = np.flatnonzero(codes_N == 0), np.flatnonzero(codes_N == 1)
        shared = np.intersect1d(pool.groups[train], pool.groups[held_out])
        if len(shared):
            found = ", ".join(shared[:5].tolist()) + (f" and {len(shared) - 5} more" * (len(shared) > 5))
            rule = f"fold {number} trains on rows of videos or speakers that it holds out"
            problems.append(
                Problem(f"array {array}", found, rule, "Leave data.folds.array out to deal anew.")
            )
        if used[held_out].any():
            repeat, used = repeat + 1, np.zeros(len(pool), np.bool_)
        used[held_out] = True
        folds.append(Fold(train.astype(np.int64), held_out.astype(np.int64), repeat))
    if problems:
        raise DataError(f"{source}:\n" + "\n".join(map(str, problems)))
    return tuple(folds)


def _refuse_useless(pool: Split, folds: Sequence[Fold], source: str) -> None:
    """Refuse folds from which nothing can be learned.

    Raises:
        DataError: listing them.
    """
    problems = []
    if len(folds) < 2:
        rule = "are too few: with one fold nothing is repeated"
        problems.append(
            Problem("data.folds", f"{len(folds)} folds", rule, "Use train and valid without folds.")
        )
    for number, fold in enumerate(folds):
        what = f"{len(fold.train)} rows to learn from, {len(fold.held_out)} held out"
        if not len(fold.train) or not len(fold.held_out):
            problems.append(Problem(f"fold {number}", what, "needs both", "Write a smaller data.folds.k."))
        elif _equal(pool.labels[fold.train]) and not _equal(pool.labels):
            rule = "learns from equal labels alone: a class is absent from its training rows"
            problems.append(Problem(f"fold {number}", what, rule, "Stratify by label, or write a smaller k."))
    if problems:
        raise DataError(f"{source}:\n" + "\n".join(map(str, problems)))


def _equal(labels: NDArray[Any]) -> bool:
    return len(np.unique(labels, axis=0)) < 2


def shipped_folds(values: NDArray[Any], what: str, num_rows: int) -> NDArray[np.int8]:
    """The folds that an array of a file deals, as (N, F): 1 held out, 0 trained on, -1 neither.

    Three forms are known. (N,): the number or name of the fold that holds a row out; a negative number or an
    empty name is never held out. (F, N) of train, valid and test: test rows of a fold are held out where it
    has no valid rows, and left out where it has. (F, N) of 0 and 1, or of booleans: 1 is held out.

    Args:
        values: the array, over all N rows of the file.
        what: file and array, for messages.
        num_rows: N.

    Raises:
        DataError: for anything else.
    """
    forms = "write (N,) fold numbers, or (folds, N) of train and valid, or of 0 and 1"
    advice = f"{forms}, for the N = {num_rows} rows"
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.shape == (num_rows,) and values.dtype.kind in "iuU":
        never_N = values == "" if values.dtype.kind == "U" else values < 0
        names = np.unique(values[~never_N])
        if len(names) > 100:
            raise DataError(f"{what}: {len(names)} different folds, more than 100; {advice}")
        return np.stack([values == name for name in names], axis=1).astype(np.int8)
    if values.ndim != 2 or values.shape[1] != num_rows or not 1 <= len(values) <= 2000:
        raise DataError(f"{what}: shape {values.shape} of {values.dtype}; {advice}")
    if values.dtype.kind == "U":
        return np.stack([_of_names(row_N, f"{what}, fold {n}") for n, row_N in enumerate(values)], axis=1)
    if values.dtype.kind in "biu" and np.isin(values, (0, 1)).all():
        return values.T.astype(np.int8)
    raise DataError(f"{what}: holds {shown(np.unique(values)[:5].tolist())}; {advice}")


def _of_names(names_N: NDArray[np.str_], what: str) -> NDArray[np.int8]:
    lowered_N = np.char.lower(np.char.strip(names_N))
    unknown = sorted(set(lowered_N.tolist()) - {*_HELD_OUT, "test", ""})
    if unknown:
        raise DataError(f"{what}: {shown(unknown[:5])} are none of train, valid and test")
    codes_N = np.array([_HELD_OUT.get(name, -1) for name in lowered_N.tolist()], np.int8)
    if not (codes_N == 1).any():
        codes_N[lowered_N == "test"] = 1
    return codes_N


def present_splits(wanted: Iterable[SplitName], there: Iterable[SplitName]) -> list[SplitName]:
    """The wanted splits that are there; with folds a data set needs no valid of its own."""
    known = set(there)
    return [name for name in wanted if name in known or name != "valid"]
