"""Probes for labels that reach the features by a way that a new recording would not have.

All probes are linear and predict rows from other groups; what they find is held against the same with groups
permuted. Levels are such that clean data give a finding in about one of fifty checks: some dozen tests at
``LEVEL`` each.

Shapes: N rows of train and valid, G groups, C columns of the target, R permutations, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus, Features, Modality, SplitName, Strings, Tokens
from mmsa.data.target_spec import TargetSpec

LEVEL = 0.0015
_PERMUTATIONS = 1999
_FOLDS = 5
_MOST_ROWS = 2000
_RIDGE = 1.0  # beside a kernel with a mean of 1 on its diagonal
_FEWEST_GROUPS = 12
_KNOWN, _SHORTCUT, _SAME = 0.15, 0.3, 0.95  # of the variance; a correlation; of the variance

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class DataFinding:
    """One thing that a check found.

    Attributes:
        what: in a few words.
        detail: what was measured, and what to do about it.
    """

    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}"


def leak_findings(corpus: Corpus, interviewer: Mapping[SplitName, Strings]) -> list[DataFinding]:
    """What the probes find in train and valid; test is not looked at.

    Args:
        corpus: with train and valid open.
        interviewer: what others than the labelled speaker said in each row, where the data tell.
    """
    rows = _Rows.of(corpus, interviewer)
    if rows.num_groups < _FEWEST_GROUPS:
        return []  # too few to tell anything from chance
    findings = []
    for name, modality_N in rows.modalities.items():
        findings += _known_labels(rows, name, modality_N)
        findings += _lengths(rows, name, modality_N)
    if rows.interviewer is not None:
        findings += _interviewer(rows, rows.interviewer)
    return findings


@dataclass(frozen=True)
class _Rows:
    """Rows of train and valid together, whole groups of at most some thousands.

    Attributes:
        modalities: N modalities, each with the position of the row in it.
        target: (N, C).
        groups: (N,) from 0 to G - 1.
        valid: (N,) whether the row is one of valid.
        interviewer: N texts.
    """

    modalities: Mapping[str, list[tuple[Modality, int]]]
    target: Vectors
    groups: NDArray[np.int64]
    valid: NDArray[np.bool_]
    interviewer: list[str] | None

    @property
    def num_groups(self) -> int:
        return int(self.groups.max(initial=-1)) + 1

    @classmethod
    def of(cls, corpus: Corpus, interviewer: Mapping[SplitName, Strings]) -> _Rows:
        parts: list[SplitName] = [name for name in ("train", "valid") if name in corpus.splits]
        places = [(name, row) for name in parts for row in range(len(corpus[name]))]
        groups = np.concatenate([corpus[name].groups for name in parts])
        group_N = np.unique(groups, return_inverse=True)[1].reshape(-1)
        if len(places) > _MOST_ROWS:
            order_G = np.random.default_rng(0).permutation(group_N.max() + 1)
            upto_G = np.cumsum(np.bincount(group_N)[order_G])
            kept = np.flatnonzero(np.isin(group_N, order_G[upto_G <= _MOST_ROWS]))
        else:
            kept = np.arange(len(places))
        chosen = [places[row] for row in kept]
        target_NC = np.concatenate([target_columns(corpus[name].labels, corpus.target) for name in parts])[
            kept
        ]
        shared = [
            name
            for name in corpus[parts[0]].modalities()
            if all(name in corpus[p].modalities() for p in parts)
        ]
        return cls(
            {str(name): [(corpus[p].modalities()[name], row) for p, row in chosen] for name in shared},
            target_NC,
            np.unique(group_N[kept], return_inverse=True)[1].reshape(-1),
            np.array([name == "valid" for name, _ in chosen]),
            [str(interviewer[name].values[row]) for name, row in chosen] if interviewer else None,
        )


def target_columns(labels: NDArray[np.float32], target: TargetSpec) -> Vectors:
    """The values of a target as (N, C) numbers that can be regressed on: one-hot where they are classes."""
    if target.kind == "multiclass":
        one_hot: Vectors = (labels[:, None] == np.arange(len(target.classes))).astype(np.float64)
        return one_hot
    columns_NC: Vectors = labels.astype(np.float64).reshape(len(labels), -1)
    return columns_NC


def _known_labels(rows: _Rows, name: str, modality_N: list[tuple[Modality, int]]) -> list[DataFinding]:
    """Whether the features of one split know its labels better than they would of unknown people."""
    y_NC = rows.target - rows.target.mean(0)
    total = float(np.square(y_NC).sum(1).mean())
    if total == 0:
        return []
    predicted_NC = _held_out_smoother(_kernel(modality_N), rows.groups) @ y_NC
    error_N = np.square(y_NC - predicted_NC).sum(1) / total
    explained = 1 - float(error_N.mean())
    if explained >= _SAME:
        return [
            DataFinding(
                f"{name} holds the labels",
                f"a linear probe explains {explained:.0%} of their variance in groups that it has not seen; "
                "nothing recorded does that: remove the columns that the labels were made from",
            )
        ]
    if not 0 < rows.valid.sum() < len(rows.valid):
        return []
    gap, p = _gap_between_splits(error_N, rows)
    if p > LEVEL or abs(gap) < _KNOWN:
        return []
    known, other = ("train", "valid") if gap > 0 else ("valid", "train")
    parts = {"valid": rows.valid, "train": ~rows.valid}
    inside, outside = (1 - float(error_N[parts[split]].mean()) for split in (known, other))
    return [
        DataFinding(
            f"{name} knows labels of {known}",
            f"a linear probe explains {max(inside, 0):.0%} of their variance in {known} and "
            f"{max(outside, 0):.0%} in {other}, in groups that it has not seen (p = {p:.4f} with groups "
            f"permuted between the splits): the features were probably learnt with labels of {known}; use "
            "others, or a split whose other parts they have not seen",
        )
    ]


def _gap_between_splits(error_N: Vectors, rows: _Rows) -> tuple[float, float]:
    """Mean error of valid less that of train, and its p-value with groups permuted between the two."""
    size_G = np.bincount(rows.groups).astype(np.float64)
    error_G = np.bincount(rows.groups, error_N)
    # A group with rows in both splits counts where most of its rows are.
    valid_G = np.bincount(rows.groups, rows.valid) > size_G / 2
    random = np.random.default_rng(0)
    valid_RG = np.stack([valid_G, *(random.permutation(valid_G) for _ in range(_PERMUTATIONS))])
    with np.errstate(invalid="ignore", divide="ignore"):
        gap_R = valid_RG @ error_G / (valid_RG @ size_G) - ~valid_RG @ error_G / (~valid_RG @ size_G)
    return float(gap_R[0]), float((np.abs(gap_R) >= abs(gap_R[0])).mean())


def _lengths(rows: _Rows, name: str, modality_N: list[tuple[Modality, int]]) -> list[DataFinding]:
    """Whether the length or the presence of a modality predicts the labels."""
    lengths = {id(modality): modality.lengths() for modality, _ in modality_N}
    length_N = np.array([lengths[id(modality)][row] for modality, row in modality_N], np.float64)
    present_N = (length_N > 0).astype(np.float64)
    findings = []
    for what, values_N in (("presence", present_N), ("length", np.log1p(length_N))):
        used_N = np.ones(len(values_N), bool) if what == "presence" else length_N > 0
        if np.ptp(values_N[used_N]) == 0 if used_N.any() else True:
            continue
        r, p = _correlation_of_groups(values_N[used_N], rows.target[used_N], rows.groups[used_N])
        if p <= LEVEL and r >= _SHORTCUT:
            findings.append(
                DataFinding(
                    f"{what} of {name} predicts the labels",
                    f"means of groups correlate by {r:.2f} (p = {p:.4f}): a model may learn how long or how "
                    "complete a recording is, which says nothing of new ones made in another way; cut or "
                    "window all rows alike, and report results by presence",
                )
            )
    return findings


def _correlation_of_groups(
    values_N: Vectors, target_NC: Vectors, group_N: NDArray[np.int64]
) -> tuple[float, float]:
    """The largest correlation of group means with a column of the target, and its p-value."""
    group_N = np.unique(group_N, return_inverse=True)[1].reshape(-1)
    size_G = np.bincount(group_N)
    if len(size_G) < _FEWEST_GROUPS:
        return 0.0, 1.0
    x_G = _standard(np.bincount(group_N, values_N) / size_G)
    y_GC = np.stack([_standard(np.bincount(group_N, column) / size_G) for column in target_NC.T], axis=1)
    random = np.random.default_rng(0)
    x_RG = np.stack([x_G, *(random.permutation(x_G) for _ in range(_PERMUTATIONS))])
    r_R = np.abs(x_RG @ y_GC / len(x_G)).max(axis=1)
    return float(r_R[0]), float((r_R >= r_R[0] - 1e-12).mean())


def _standard(values_G: Vectors) -> Vectors:
    scale = values_G.std()
    standard_G: Vectors = (values_G - values_G.mean()) / (scale if scale > 0 else 1.0)
    return standard_G


def _interviewer(rows: _Rows, texts_N: list[str]) -> list[DataFinding]:
    """Whether what others than the labelled speaker said predicts the labels."""
    texts_G = [""] * rows.num_groups
    for group, text in zip(rows.groups.tolist(), texts_N, strict=True):
        texts_G[group] += f" {text}"
    size_G = np.bincount(rows.groups)
    y_GC = np.stack([_standard(np.bincount(rows.groups, c) / size_G) for c in rows.target.T], axis=1)
    kernel_GG = _text_kernel(texts_G)
    if kernel_GG is None:
        return []
    smoother_GG = _held_out_smoother(kernel_GG, np.arange(len(texts_G)))
    random = np.random.default_rng(0)
    order_RG = np.stack(
        [np.arange(len(y_GC)), *(random.permutation(len(y_GC)) for _ in range(_PERMUTATIONS))]
    )
    r_R = np.max([_correlations(column_G[order_RG], smoother_GG) for column_G in y_GC.T], axis=0)
    p = float((r_R >= r_R[0]).mean())
    if p > LEVEL or r_R[0] < _SHORTCUT:
        return []
    return [
        DataFinding(
            "the interviewer's words predict the labels",
            f"a probe that reads nobody else's words correlates by {r_R[0]:.2f} with the labels of "
            f"{len(texts_G)} groups that it has not seen (p = {p:.4f}): the questions follow from "
            "what is to be predicted; use the speech of the labelled person alone",
        )
    ]


def _correlations(y_RG: Vectors, smoother_GG: Vectors) -> Vectors:
    """(R,) correlations of standardised targets with their predictions."""
    predicted_RG = y_RG @ smoother_GG.T
    predicted_RG -= predicted_RG.mean(axis=1, keepdims=True)
    scale_R = predicted_RG.std(axis=1)
    found_R: Vectors = (predicted_RG * y_RG).mean(axis=1) / np.where(scale_R > 0, scale_R, 1.0)
    return found_R


def _held_out_smoother(kernel_NN: Vectors, group_N: NDArray[np.int64]) -> Vectors:
    """(N, N) the matrix that takes the targets of all rows to ridge predictions of each from other groups."""
    num_groups = int(group_N.max()) + 1
    fold_G = np.random.default_rng(0).permutation(np.arange(num_groups) % _FOLDS)
    smoother_NN = np.zeros_like(kernel_NN)
    for fold in range(_FOLDS):
        held_N = fold_G[group_N] == fold
        train, held = np.flatnonzero(~held_N), np.flatnonzero(held_N)
        if not len(train) or not len(held):
            continue
        inner = kernel_NN[np.ix_(train, train)] + _RIDGE * np.eye(len(train))
        weights = np.linalg.solve(inner, kernel_NN[np.ix_(train, held)]).T
        # With an intercept: the mean of the training rows is taken off before and added after.
        centred = weights - weights.mean(axis=1, keepdims=True) + 1 / len(train)
        smoother_NN[np.ix_(held, train)] = centred
    return smoother_NN


def _kernel(modality_N: list[tuple[Modality, int]]) -> Vectors:
    """(N, N) inner products of rows, 1 on the diagonal on average."""
    if all(isinstance(modality, Strings) for modality, _ in modality_N):
        found = _text_kernel([str(modality.values[row]) for modality, row in modality_N])  # type: ignore[union-attr]
        return np.zeros((len(modality_N), len(modality_N))) if found is None else found
    if all(isinstance(modality, Tokens) for modality, _ in modality_N):
        found = _text_kernel([_token_text(modality, row) for modality, row in modality_N])  # type: ignore[arg-type]
        return np.zeros((len(modality_N), len(modality_N))) if found is None else found
    pooled_ND = np.stack([_pooled(modality, row) for modality, row in modality_N])  # type: ignore[arg-type]
    absent_N = ~np.isfinite(pooled_ND).all(axis=1)
    if absent_N.all():
        return np.zeros((len(pooled_ND), len(pooled_ND)))
    pooled_ND[absent_N] = pooled_ND[~absent_N].mean(axis=0)
    scale_D = pooled_ND.std(axis=0)
    # Ranks would be safer against outliers, but a label that is written into a column must stay linear.
    x_ND = np.clip((pooled_ND - pooled_ND.mean(axis=0)) / np.where(scale_D > 0, scale_D, 1.0), -10, 10)
    kernel_NN: Vectors = x_ND @ x_ND.T / max(1, int((scale_D > 0).sum()))
    return kernel_NN


def _pooled(features: Features, row: int) -> Vectors:
    """Mean and deviation over the frames of a row, (2 D,); NaN for a row without any."""
    start, end = features.offsets[row : row + 2]
    if start == end:
        return np.full(2 * features.dim, np.nan)
    frames = features.values[start:end].astype(np.float64)
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])


def _token_text(tokens: Tokens, row: int) -> str:
    return " ".join(map(str, tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()))


def _text_kernel(texts: list[str]) -> Vectors | None:
    """(N, N) cosines of weighted counts of words, or of characters where words are not set apart."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    spaced = sum(" " in text.strip() for text in texts) > len(texts) / 2
    analyzer, lengths = ("word", (1, 1)) if spaced else ("char", (1, 2))
    vectorizer = TfidfVectorizer(
        analyzer=analyzer,
        ngram_range=lengths,
        max_features=5000,
        token_pattern=r"\w+" if spaced else None,
        sublinear_tf=True,
    )
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError:  # no words at all
        return None
    kernel_NN: Vectors = (weights @ weights.T).toarray()
    return kernel_NN
