"""What is unusual about a split, though nothing about it is wrong."""

from __future__ import annotations

import logging

import numpy as np

from mmsa.data.corpus import Features, Split
from mmsa.data.inputs import FeatureInput
from mmsa.data.nonfinite import constant_note, zeros_outside

logger = logging.getLogger("mmsa.data")

OUTLIER = 10.0  # standard deviations


def warn_about_features(split: Split, source: str) -> None:
    """Log zeros that no column has, rows without a modality, constant columns and far outliers."""
    for note in zeros_outside(split, source):
        logger.warning("%s", note)
    for name, modality in split.modalities().items():
        absent = int((modality.lengths() == 0).sum())
        if absent:
            logger.warning("%s: %d of %d rows have no %s", source, absent, len(split), name)
        # What is mapped was looked at when the store was made, and is not to be read at every opening.
        if isinstance(modality, Features) and len(modality.values) and modality.mapped is None:
            _warn_about_columns(modality, f"{source} {name}")


def warn_about_labels(split: Split, source: str) -> None:
    """Log why metrics on this split would say little: a single row, a single group, equal labels."""
    if len(split) == 1:
        logger.warning("%s: has a single row", source)
    elif len(np.unique(split.groups)) == 1:
        logger.warning(
            "%s: all %d rows are of one video or speaker; they do not tell how a metric varies over others",
            *(source, len(split)),
        )
    if len(split) > 1 and np.ptp(split.labels) == 0:
        logger.warning("%s: all %d labels are %g", source, len(split), split.labels.flat[0])


def _warn_about_columns(features: Features, source: str) -> None:
    low, high = features.values.min(axis=0), features.values.max(axis=0)
    if note := constant_note(low, high):
        logger.warning("%s: %s", source, note)
    statistics = FeatureInput.of(features)
    mean = statistics.mean.astype(np.float64)  # a difference of large values is more than float32 can hold
    reach = np.maximum(high - mean, mean - low) / statistics.scale
    far = np.flatnonzero(reach > OUTLIER)
    if len(far):
        worst = int(reach.argmax())
        logger.info(
            "%s: %d of %d columns reach beyond %g standard deviations, column %d from %g to %g",
            *(source, len(far), features.dim, OUTLIER, worst, low[worst], high[worst]),
        )
