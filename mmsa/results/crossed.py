"""Configurations compared over videos and seeds at once: the crossed bootstrap.

A result varies with the videos (or speakers) that happen to be in a split, and with the seeds of the
trainings. The videos are the same for all configurations and the seeds are each one's own, so groups are
resampled for all together and seeds for each alone (crossed random factors; Owen 2007, "The pigeonhole
bootstrap"). Intervals from groups alone are too narrow: between two equal configurations they find a winner
in every fifth study.

Shapes: N rows, G groups, S seeds of a configuration, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from mmsa.data.target_spec import TargetSpec
from mmsa.information.groups import bootstrap_weights, effective_groups
from mmsa.interface import PairedDifference
from mmsa.training.metrics import weighted_metrics
from mmsa.training.resampling import resampled_groups
from mmsa.training.row_weights import Floats, RowWeights

_RESAMPLES = 1000
_POWER = 0.8


@dataclass(frozen=True)
class CrossedEstimate:
    """A mean over seeds, or the difference of two, and how far it would vary with other videos and seeds.

    Attributes:
        value: on the split as it is.
        error: standard error over videos and seeds.
        groups_error: the part of it that no further seed can take away.
        freedom: degrees of freedom of ``error``.
    """

    value: float
    error: float
    groups_error: float
    freedom: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval by Student's t."""
        half = float(stdtrit(self.freedom, 0.5 + level / 2)) * self.error
        return self.value - half, self.value + half

    @property
    def resolution(self) -> float:
        """The smallest true difference that a 95 % interval would exclude 0 for in 80 of 100 studies."""
        quantiles = stdtrit(self.freedom, 0.975) + stdtrit(self.freedom, _POWER)
        return float(quantiles) * self.error

    def paired(self, level: float = 0.95) -> PairedDifference:
        """Value and interval in one record."""
        return PairedDifference(self.value, *self.interval(level))


class Crossed:
    """Metrics of the seeds of several configurations, on the same resamples of groups.

    Single rows are resampled if all belong to one group.

    Args:
        labels_N: of the split.
        groups_N: video or speaker of each row.
        target: what is predicted.
        predictions_SN: of each seed, by configuration; at least two seeds each.
        resamples: how many.
    """

    def __init__(
        self,
        labels_N: NDArray[np.floating[Any]],
        groups_N: NDArray[np.str_],
        target: TargetSpec,
        predictions_SN: Mapping[str, NDArray[np.floating[Any]]],
        resamples: int = _RESAMPLES,
    ):
        group_N = resampled_groups(groups_N)
        self._num_groups = int(group_N.max()) + 1
        self._freedom = max(1.0, effective_groups(group_N) - 1)
        # The first row is the split as it is.
        resampled_RG = bootstrap_weights(self._num_groups, resamples, seed=0)
        weights_RG = np.vstack([np.ones(self._num_groups), resampled_RG])
        self._metrics = {
            name: [
                weighted_metrics(labels_N, predictions_N, RowWeights(group_N, weights_RG), target)
                for predictions_N in seeds_SN
            ]
            for name, seeds_SN in predictions_SN.items()
        }

    @property
    def metrics(self) -> list[str]:
        """Names of what is measured."""
        return list(next(iter(self._metrics.values()))[0])

    def by_seed(self, name: str, metric: str) -> list[float]:
        """A metric of each seed of a configuration on the split as it is."""
        return [float(values_R[0]) for values_R in self._of(name, metric)]

    def mean(self, name: str, metric: str) -> CrossedEstimate:
        """The mean of a metric over the seeds of a configuration."""
        return self._estimate([(1.0, self._of(name, metric))])

    def difference(self, name: str, other: str, metric: str) -> CrossedEstimate:
        """By how much the mean of a configuration exceeds that of another."""
        return self._estimate([(1.0, self._of(name, metric)), (-1.0, self._of(other, metric))])

    def improvement(self, name: str, other: str, metric: str, *, lower: bool) -> PairedDifference:
        """The probability that one training of a configuration beats one training of another.

        Over all pairs of seeds, ties counting half (Agarwal et al. 2021, "Deep reinforcement learning at the
        edge of the statistical precipice"); its 95 % interval over resampled videos and seeds.

        Args:
            name: of the configuration.
            other: of the other.
            metric: by which they are compared.
            lower: whether less of it is better.
        """
        one_SR, other_SR = self._of(name, metric), self._of(other, metric)
        gaps_SSR = (other_SR[None] - one_SR[:, None]) * (1.0 if lower else -1.0)
        wins_SSR = (gaps_SSR > 0) + 0.5 * (gaps_SSR == 0)
        num_resamples = wins_SSR.shape[2] - 1
        ours_RS, theirs_RS = (
            bootstrap_weights(len(values_SR), num_resamples, seed=position) / len(values_SR)
            for position, values_SR in enumerate((one_SR, other_SR), 1)
        )
        drawn_R = np.einsum("rs,rt,str->r", ours_RS, theirs_RS, wins_SSR[:, :, 1:])
        low, high = np.quantile(drawn_R, (0.025, 0.975)).tolist()
        return PairedDifference(float(wins_SSR[:, :, 0].mean()), low, high)

    def _of(self, name: str, metric: str) -> Floats:
        """(S, 1 + R) a metric of each seed on the split and on every resample."""
        return np.stack([metrics[metric] for metrics in self._metrics[name]])

    def _estimate(self, parts: list[tuple[float, Floats]]) -> CrossedEstimate:
        """A signed sum of means over seeds, with its variance over groups and seeds."""
        means_R = sum(sign * values_SR.mean(axis=0) for sign, values_SR in parts)
        assert isinstance(means_R, np.ndarray)
        # Of few groups a bootstrap varies too little by one of them, as of few seeds.
        few = (self._freedom + 1) / self._freedom
        of_groups = few * float(means_R[1:].var())
        of_seeds = [float(values_SR[:, 0].var(ddof=1)) / len(values_SR) for _, values_SR in parts]
        # What a seed does to a single video is in both of them. Resampling both at once would count it three
        # times, and call equal configurations equal in 99 of 100 studies instead of 95.
        in_both = sum(map(self._interplay, (values_SR for _, values_SR in parts))) * few
        variance = max(of_groups + sum(of_seeds) - in_both, of_groups, sum(of_seeds))
        # Satterthwaite (1946): each part has the degrees of freedom of what was resampled.
        spent = of_groups**2 / self._freedom
        spent += sum(
            part**2 / (len(values_SR) - 1) for part, (_, values_SR) in zip(of_seeds, parts, strict=True)
        )
        return CrossedEstimate(
            value=float(means_R[0]),
            error=math.sqrt(variance),
            groups_error=math.sqrt(max(0.0, of_groups - in_both)),
            freedom=variance**2 / spent if spent > 0 else self._freedom,
        )

    @staticmethod
    def _interplay(values_SR: Floats) -> float:
        """Variance of a mean over seeds that comes from what each seed does to single groups."""
        num_seeds = len(values_SR)
        apart_SR = values_SR[:, 1:] - values_SR[:, 1:].mean(axis=0)
        return float(apart_SR.var(axis=1).sum()) / (num_seeds * (num_seeds - 1))
