"""Invented recordings with a planted truth, from which trees in the layouts of real data sets are written.

Each modality knows one third of what can be known of a label: words, sounds and faces of a row
each follow a hidden score of their own, and the label is their sum and noise. Nothing else is related to it:
neither how long a row is, nor what is missing, nor who speaks.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, SplitName

CEILING = 0.9
"""Correlation with the labels that the best predictor reaches, knowing all three hidden scores."""
FEWEST_ROWS = 20

_SHARES: Mapping[SplitName, float] = {"train": 0.6, "valid": 0.2, "test": 0.2}
_CLIPS = (2, 3)  # of a video, at least and at most
_POSITIVE = ("good", "great", "love", "funny", "enjoyed", "best", "wonderful", "liked")
_NEGATIVE = ("bad", "boring", "hate", "dull", "worst", "awful", "waste", "sad")
_NEUTRAL = ("the", "movie", "was", "i", "it", "story", "and", "they", "really", "this")


@dataclass(frozen=True)
class Recording:
    """One row of a file.

    Attributes:
        id: unique; ``<group>$_$<number>``.
        group: the video or speaker, which lies in one split.
        split: that the row belongs to.
        label: from -3 to 3.
        text: some words.
        audio: (T, D) frames, of which there may be none.
        vision: (T, D) likewise.
    """

    id: str
    group: str
    split: SplitName
    label: float
    text: str
    audio: NDArray[np.float32]
    vision: NDArray[np.float32]


def invent(
    rows: int, seed: int, dims: tuple[int, int] = (5, 20), longest: int = 20, aligned: bool = False
) -> list[Recording]:
    """Invented rows of train, valid and test, video by video.

    Args:
        rows: number of rows of all splits together, at least ``FEWEST_ROWS``.
        seed: of everything that is drawn.
        dims: of audio and vision.
        longest: most words of a row.
        aligned: whether a row has a frame of audio and vision for each word.
    """
    random = np.random.default_rng(seed)
    loadings = [random.standard_normal(dim) / math.sqrt(dim) for dim in dims]
    recordings = []
    for split, count in _counts(rows).items():
        video, clip, last = "", 0, 0
        for _ in range(count):
            if clip == last:
                video, clip, last = _name(random), 0, int(random.integers(_CLIPS[0], _CLIPS[1] + 1))
            clip += 1
            hidden_3 = random.standard_normal(3)
            known = hidden_3.sum() / math.sqrt(3)
            label = CEILING * known + math.sqrt(1 - CEILING**2) * random.standard_normal()
            length = int(random.integers(3, longest + 1))
            lengths = [length if aligned else int(random.integers(3, 2 * longest)) for _ in dims]
            audio, vision = (
                (random.standard_normal((steps, dim)) + 3 * score * loading).astype(np.float32)
                for steps, dim, score, loading in zip(lengths, dims, hidden_3[1:], loadings, strict=True)
            )
            text = " ".join(_words(float(hidden_3[0]), length, random))
            label = float(np.clip(round(1.2 * label, 1), -3, 3))
            recordings.append(Recording(f"{video}$_${clip}", video, split, label, text, audio, vision))
    return recordings


def _counts(rows: int) -> dict[SplitName, int]:
    counts: dict[SplitName, int] = {split: math.floor(share * rows) for split, share in _SHARES.items()}
    counts["train"] += rows - sum(counts.values())
    return counts


def _name(random: np.random.Generator) -> str:
    """A name such as videos have: eleven characters, which may begin with a dash or an underscore."""
    return "".join(random.choice(list(string.ascii_letters + string.digits + "-_"), 11))


def _words(score: float, length: int, random: np.random.Generator) -> list[str]:
    """Words of which those with a feeling tell the score by how many of them are positive."""
    positive = 1 / (1 + math.exp(-2 * score))
    words = []
    for _ in range(length):
        if random.random() < 0.4:
            words.append(str(random.choice(_NEUTRAL)))
        else:
            words.append(str(random.choice(_POSITIVE if random.random() < positive else _NEGATIVE)))
    return words


def of_split(rows: Sequence[Recording]) -> dict[SplitName, list[Recording]]:
    """Rows by split, for the splits that have any."""
    found: dict[SplitName, list[Recording]] = {
        split: [row for row in rows if row.split == split] for split in SPLITS
    }
    return {split: chosen for split, chosen in found.items() if chosen}
