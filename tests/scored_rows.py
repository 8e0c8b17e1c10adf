"""Labels and predictions of rows in groups, for tests of what is resampled."""

from __future__ import annotations

import numpy as np

SCALES = [(-3.0, 3.0), (-1.0, 1.0), (0.0, 24.0)]


def sample(scale: tuple[float, float], num_rows: int = 60, num_groups: int = 7) -> tuple[np.ndarray, ...]:
    """Labels on a scale, with zeros among them, predictions, and the group of each row."""
    rng = np.random.default_rng(3)
    labels = rng.uniform(*scale, num_rows).round(1).astype(np.float32)
    labels[::5] = 0.0
    predictions = (labels + rng.normal(0, (scale[1] - scale[0]) / 6, num_rows)).astype(np.float32)
    groups = rng.integers(0, num_groups, num_rows)
    groups[:num_groups] = range(num_groups)
    return labels, predictions, groups
