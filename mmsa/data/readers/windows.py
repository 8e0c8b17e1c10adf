"""Frames of a long recording, cut into windows and pooled: mean, deviation, and how many frames are valid.

An interview of twenty minutes has 120,000 frames at 100 Hz. A window is an utterance, or some seconds; it
becomes one frame of 2 D + 1 numbers. Frames that say nothing (a lost face, a voice that was zeroed because it
identified somebody) are left out of mean and deviation, and -inf or NaN of single columns likewise, before
anything is added up.

Shapes: T frames, D columns, W windows.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger("mmsa.data")


@dataclass(frozen=True)
class Stream:
    """Frames of one modality of one recording.

    Attributes:
        times: (T,) seconds from its beginning, rising.
        values: (T, D) frames, which may hold NaN and infinities.
        valid: (T,) whether a frame says anything.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


def pooled_windows(stream: Stream, spans_W2: NDArray[np.float64]) -> NDArray[np.float32]:
    """(W, 2 D + 1): mean and standard deviation of the valid frames in each span, and their share.

    A column without a known value in a span is NaN, for which a reader puts 0 or a mean as the user chose;
    the share of a span without a valid frame is 0.

    Args:
        stream: the frames.
        spans_W2: begin and end of each window, in seconds.
    """
    dim = stream.values.shape[1]
    known_TD = np.isfinite(stream.values) & stream.valid[:, None]
    counts_D = np.maximum(known_TD.sum(axis=0), 1)
    centre_D = np.where(known_TD, stream.values, 0).sum(axis=0, dtype=np.float64) / counts_D
    # Sums of squares around the mean of the recording lose no digits; around 0 they do.
    off_TD = np.where(known_TD, stream.values - centre_D, 0.0)
    first_W = np.searchsorted(stream.times, spans_W2[:, 0], side="left")
    last_W = np.maximum(np.searchsorted(stream.times, spans_W2[:, 1], side="left"), first_W)

    def sums(values: NDArray[np.generic]) -> NDArray[np.float64]:
        total = np.concatenate(
            [np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0, dtype=np.float64)]
        )
        found: NDArray[np.float64] = total[last_W] - total[first_W]
        return found

    known_WD = sums(known_TD)
    unknown_WD, known_WD = known_WD == 0, np.maximum(known_WD, 1)
    mean_WD = sums(off_TD) / known_WD
    variance_WD = np.maximum(sums(off_TD**2) / known_WD - mean_WD**2, 0)
    valid_W, frames_W = sums(stream.valid), np.maximum(last_W - first_W, 1)
    result = np.empty((len(spans_W2), 2 * dim + 1), np.float32)
    result[:, :dim] = np.where(unknown_WD, np.nan, mean_WD + centre_D)
    result[:, dim : 2 * dim] = np.where(unknown_WD, np.nan, np.sqrt(variance_WD))
    result[:, -1] = valid_W / frames_W
    return result


def standardised_stream(stream: Stream) -> Stream:
    """The stream with each column at mean 0 and deviation 1 over its own valid frames.

    This takes away the level of a voice or a face, which differs between people and may itself be a sign.
    """
    known_TD = np.isfinite(stream.values) & stream.valid[:, None]
    counts_D = np.maximum(known_TD.sum(axis=0), 1)
    values_TD = np.where(known_TD, stream.values, 0).astype(np.float64)
    mean_D = values_TD.sum(axis=0) / counts_D
    deviation_D = np.sqrt((np.where(known_TD, values_TD - mean_D, 0) ** 2).sum(axis=0) / counts_D)
    scale_D = np.where(deviation_D > 1e-6, deviation_D, 1.0)  # a constant column becomes 0
    scaled_TD = ((stream.values - mean_D) / scale_D).astype(np.float32)
    return Stream(stream.times, scaled_TD, stream.valid)


def even_spans(seconds: float, end: float) -> NDArray[np.float64]:
    """(W, 2) windows of so many seconds from 0 on; the last one may be shorter."""
    starts_W = np.arange(0.0, max(end, seconds / 2), seconds)
    return np.stack([starts_W, np.minimum(starts_W + seconds, max(end, seconds))], axis=1)


def within(stream: Stream, spans_W2: NDArray[np.float64]) -> Stream:
    """The frames that lie in any of the spans."""
    inside_T = np.zeros(len(stream.times), np.bool_)
    for start, end in spans_W2:
        first, last = np.searchsorted(stream.times, [start, end], side="left")
        inside_T[first:last] = True
    return Stream(stream.times[inside_T], stream.values[inside_T], stream.valid[inside_T])
