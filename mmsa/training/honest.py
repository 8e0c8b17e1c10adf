"""What the best of many runs on folds would be worth on other people: the optimism of choosing, taken off.

The best of 64 configurations on 150 people is best partly by luck, and its own value says nothing of how
much. The choice can be repeated without any training: groups are drawn with replacement, the candidate that
is best on those drawn is looked up, and its value on the groups that were not drawn is noted. The mean over
many draws is the honest value (BBC-CV; Tsamardinos, Greasidou and Borboudakis 2018, Machine Learning 107).

A candidate is a run at one of its epochs, since the epoch is chosen on the same rows as the run.

Shapes: N rows of valid, R repeats of the dealing, B draws, G groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus
from mmsa.information.groups import bootstrap_weights
from mmsa.interface import decimals
from mmsa.training.folded import NOT_POOLED, by_repeat
from mmsa.training.metrics import weighted_metrics
from mmsa.training.row_weights import Floats, RowWeights

_DRAWS = 500
_TAILS = (0.05, 0.95)
_FEWEST_GROUPS = 10
_FEWEST_LEFT = 2  # groups that a draw leaves out; of ten, one draw in a thousand leaves fewer


@dataclass(frozen=True)
class HonestEstimate:
    """The value of a choice among candidates, by one metric of valid.

    Attributes:
        metric: without a prefix.
        naive: of the best candidate on all rows, which is what a search calls its best.
        value: mean over draws of the chosen candidate's value on groups that were not drawn.
        low: lower end of the 90 % interval: percentiles over draws. They are those of about a third of the
            groups, so the interval is rather too wide than too narrow.
        high: upper end of it.
        trials: runs among which was chosen.
        candidates: runs and epochs.
        groups: that were drawn from.
    """

    metric: str
    naive: float
    value: float
    low: float
    high: float
    trials: int
    candidates: int
    groups: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of ``to_dict``."""
        return cls(**content)

    def text(self) -> str:
        """The estimate in words."""
        return (
            f"{self.metric} {decimals(self.value)} [{decimals(self.low)}, {decimals(self.high)}], 90 % over "
            f"{self.groups} groups; the best of {self.trials} trials and their epochs reaches "
            f"{decimals(self.naive)} on the rows that chose it"
        )


def honest_estimate(
    corpus: Corpus,
    runs: Sequence[NDArray[np.floating[Any]]],
    metric: str,
    *,
    minimize: bool,
    draws: int = _DRAWS,
    seed: int = 0,
) -> HonestEstimate | None:
    """Bootstrap the choice among runs and their epochs; None with fewer than 10 groups.

    Args:
        corpus: with folds, that all runs were trained on.
        runs: predictions of held-out rows of each run after each of its epochs, (E, R, N) or (E, R, N, K).
        metric: that chooses, without a prefix.
        minimize: whether less of it is better.
        draws: B.
        seed: of the draws.
    """
    _, group_N = np.unique(corpus["valid"].groups, return_inverse=True)
    num_groups = int(group_N.max()) + 1
    if num_groups < _FEWEST_GROUPS or not runs:
        return None
    drawn_BG = bootstrap_weights(num_groups, draws, seed)
    drawn_BG = drawn_BG[(drawn_BG == 0).sum(axis=1) >= _FEWEST_LEFT]
    draws = len(drawn_BG)
    # The first row is all rows as they are; then the drawn groups, then those that were left out.
    weights_RG = np.vstack([np.ones(num_groups), drawn_BG, drawn_BG == 0])
    values = np.stack([_values(corpus, epoch, metric, group_N, weights_RG) for run in runs for epoch in run])
    sign = 1.0 if minimize else -1.0
    whole_C, drawn_CB, left_CB = values[:, 0], values[:, 1 : 1 + draws], values[:, 1 + draws :]
    chosen_B = (sign * drawn_CB).argmin(axis=0)
    found_B = left_CB[chosen_B, np.arange(draws)]
    low, high = np.quantile(found_B, _TAILS).tolist()
    return HonestEstimate(
        metric=metric,
        naive=float(sign * (sign * whole_C).min()),
        value=float(found_B.mean()),
        low=low,
        high=high,
        trials=len(runs),
        candidates=len(values),
        groups=num_groups,
    )


def _values(
    corpus: Corpus,
    predictions: NDArray[np.floating[Any]],
    metric: str,
    group_N: NDArray[np.intp],
    weights_RG: Floats,
) -> Floats:
    """(R,) the metric as a run on folds has it, of weighted groups."""
    labels = corpus["valid"].labels
    if metric.startswith(NOT_POOLED):
        parts = [(fold.held_out, predictions[fold.repeat, fold.held_out]) for fold in corpus.folds]
    else:
        parts = [(np.flatnonzero(there_N), values) for there_N, values in by_repeat(predictions)]
    found = [
        weighted_metrics(labels[rows], values, RowWeights(group_N[rows], weights_RG), corpus.target)[metric]
        for rows, values in parts
    ]
    mean: Floats = np.mean(found, axis=0)
    return mean
