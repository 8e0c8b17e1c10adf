"""How a model does with some modalities alone, and with noise: what it leans on, and what it can do without.

The subsets are those of Colombo et al. (2021) and of work on unseen modalities; every model is asked as it
is, so one that was trained without ``train.modality_dropout`` has mostly never seen a row that lacks one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus, Features, Split
from mmsa.data.inputs import FeatureInput
from mmsa.data.presence import subsets, with_noise, with_only
from mmsa.interface import decimals
from mmsa.training.metrics import evaluate
from mmsa.training.predictor import Predictor

NOISE_LEVELS = (0.5, 1.0, 2.0)
"""Standard deviations of noise on features, in those of train."""
_MOST_SHOWN = 4


@dataclass(frozen=True)
class Robustness:
    """Test metrics, averaged over models, by what the models were given.

    Attributes:
        given: metrics by names such as ``text+audio`` and ``noise 0.5``, all modalities first.
    """

    given: Mapping[str, Mapping[str, float]]

    def lines(self, first: str) -> list[str]:
        """A table for people; no lines for a single modality without noise.

        Args:
            first: the metric that comes first, without a prefix.
        """
        if len(self.given) < 2:
            return []
        every = next(iter(self.given.values()))
        shown = [name for name in (first, *every) if name in every]
        shown = list(dict.fromkeys(shown))[:_MOST_SHOWN]
        width = max(map(len, self.given)) + 2
        widths = [max(12, len(name) + 2) for name in shown]
        head = "".join(f"{name:>{wide}}" for name, wide in zip(shown, widths, strict=True))
        rows = [
            f"  {given:<{width}}"
            + "".join(f"{decimals(metrics[name]):>{wide}}" for name, wide in zip(shown, widths, strict=True))
            for given, metrics in self.given.items()
        ]
        title = "given, to every row (mean over fresh seeds; noise in deviations of train)"
        return [title, f"  {'':<{width}}{head}", *rows]


def measure_robustness(models: Sequence[Predictor], corpus: Corpus, test: Split) -> Robustness:
    """Ask models for all subsets of modalities, and for noise on the features of all.

    Args:
        models: of one configuration.
        corpus: says what is predicted.
        test: rows as the data set has them.
    """
    read = models[0].inputs.modalities()
    given = {"+".join(kept): with_only(test, kept) for kept in subsets(tuple(read))}
    scales: dict[str, NDArray[np.float32]] = {
        name: part.scale
        for name, part in read.items()
        if isinstance(part, FeatureInput) and isinstance(getattr(test, name), Features)
    }
    if scales:
        given |= {f"noise {level:g}": with_noise(test, scales, level) for level in NOISE_LEVELS}
    found: dict[str, dict[str, float]] = {}
    for name, rows in given.items():
        by_model = [evaluate(test.labels, model.predict(rows), corpus.target) for model in models]
        found[name] = {metric: float(np.mean([one[metric] for one in by_model])) for metric in by_model[0]}
    return Robustness(found)
