"""Labels and predictions of rows in groups, for tests of what is resampled."""

from __future__ import annotations

import numpy as np

from mmsa.data.target_spec import TargetSpec

SCALES = [
    TargetSpec("label", low=-3.0, high=3.0, suite="mosi"),
    TargetSpec("label", low=-1.0, high=1.0, suite="sims"),
    TargetSpec("label", low=0.0, high=24.0),
]


def sample(target: TargetSpec, num_rows: int = 60, num_groups: int = 7) -> tuple[np.ndarray, ...]:
    """Labels on a scale, with zeros among them, predictions, and the group of each row."""
    rng, scale = np.random.default_rng(3), target.scale
    labels = rng.uniform(*scale, num_rows).round(1).astype(np.float32)
    labels[::5] = 0.0
    predictions = (labels + rng.normal(0, (scale[1] - scale[0]) / 6, num_rows)).astype(np.float32)
    groups = rng.integers(0, num_groups, num_rows)
    groups[:num_groups] = range(num_groups)
    return labels, predictions, groups
