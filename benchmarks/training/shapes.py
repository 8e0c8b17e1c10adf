"""Random data of CMU-MOSI's shape: what both sides of the benchmark train on.

Clips are ragged as those of CMU-MOSI are: log-normal numbers of words with median 10 and 45 at the 99th
percentile, three words a second, 30 frames a second. Values are noise; only their shapes matter here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus, Features, Split, SplitName, Tokens

SIZES: dict[SplitName, int] = {"train": 1284, "valid": 229, "test": 686}
WIDTHS = {"text": 768, "audio": 5, "vision": 20}
TEXT_STEPS, VOCABULARY = 50, 30_000
FRAMES_A_WORD = 10
Frames = Literal["aligned", "unaligned"]
Text = Literal["tokens", "features", "vectors"]
LONGEST: dict[Frames, dict[str, int]] = {
    "aligned": {"audio": 50, "vision": 50},
    "unaligned": {"audio": 375, "vision": 500},
}


@dataclass(frozen=True)
class Shape:
    """What differs between data sets of the benchmark.

    frames: 50 aligned ones at most, or 375 and 500. text: token ids for an encoder that is fine-tuned, or its
    cached 768-d output, one vector a token or a clip. rows: of the training split. words: the fewest and the
    most of a clip, all equally likely; None is as in CMU-MOSI.
    """

    frames: Frames = "aligned"
    text: Text = "features"
    rows: int = SIZES["train"]
    words: tuple[int, int] | None = None


def corpus(shape: Shape, seed: int = 0) -> Corpus:
    """Train, valid and test of that shape."""
    random = np.random.default_rng(seed)
    sizes = SIZES | {"train": shape.rows}
    return Corpus("random", (-3.0, 3.0), {name: _split(shape, rows, random) for name, rows in sizes.items()})


def _split(shape: Shape, rows: int, random: np.random.Generator) -> Split:
    words_N = np.exp(random.normal(np.log(10.0), 0.645, rows)).round().clip(1)
    if shape.words is not None:
        words_N = random.integers(*shape.words, rows, endpoint=True).astype(float)
    tokens_N = (words_N + 2).clip(max=TEXT_STEPS).astype(np.int64)
    frames = {
        name: (tokens_N if shape.frames == "aligned" else (FRAMES_A_WORD * words_N).clip(max=longest))
        for name, longest in LONGEST[shape.frames].items()
    }
    if shape.text == "tokens":
        text: Tokens | Features = _tokens(tokens_N, random)
    else:
        text = _features("text", tokens_N if shape.text == "features" else np.ones_like(tokens_N), random)
    names = np.array([f"clip-{row}" for row in range(rows)])
    return Split(
        ids=names,
        groups=names,
        labels=((random.random(rows) * 30).round() / 5 - 3).astype(np.float32),
        text=text,
        audio=_features("audio", frames["audio"], random),
        vision=_features("vision", frames["vision"], random),
    )


def padded_steps(shape: Shape) -> dict[str, int]:
    """To how many steps the published procedures pad each modality."""
    return {"text": 1 if shape.text == "vectors" else TEXT_STEPS, **LONGEST[shape.frames]}


def _offsets(lengths_N: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths_N)]).astype(np.int64)


def _tokens(lengths_N: NDArray[np.int64], random: np.random.Generator) -> Tokens:
    offsets = _offsets(lengths_N)
    return Tokens(random.integers(1000, VOCABULARY, offsets[-1]), offsets)


def _features(name: str, lengths_N: NDArray[np.generic], random: np.random.Generator) -> Features:
    offsets = _offsets(lengths_N)
    return Features(random.standard_normal((offsets[-1], WIDTHS[name]), dtype=np.float32), offsets)
