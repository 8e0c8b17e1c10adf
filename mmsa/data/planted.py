"""Planted data: three modalities and a label with exactly known mutual information.

The label is an injective function of K fair, independent bits. Each bit belongs to a part: *shared* (several
modalities see the same copy of it), *private* (one modality sees it) or *synergistic* (several modalities
each see a share, and only the exclusive-or of all shares is the bit). A bit is seen through a binary
symmetric channel of flip probability p, so k bits carry k (1 - h(p)) bits of information: any amount can be
planted.

A random rotation lifts what a modality sees into R^D, with noise that is bounded along the bits and Gaussian
across them. The bits can be read back from the features without error, so I(features; label) equals
I(bits; label).

Shapes: N rows, K bits, M modalities, L frames, D features.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import entr

from mmsa.config import Named, refuse
from mmsa.data.corpus import (
    MODALITIES,
    SPLITS,
    Corpus,
    DataSet,
    Features,
    ModalityName,
    Outline,
    Split,
    SplitName,
)
from mmsa.data.folds import FoldsConfig
from mmsa.data.hazards import warn_about_labels
from mmsa.data.target_spec import TargetKind, TargetSpec
from mmsa.data.validation import check_splits
from mmsa.seeding import derive_seed

Bits = Annotated[float, Field(ge=0.0, le=4.0)]
NumRows = Annotated[int, Field(ge=1, le=1_000_000)]
Dim = Annotated[int, Field(ge=1, le=65_536)]
Frames = Annotated[int, Field(ge=1, le=10_000)]
FrameRange = Annotated[tuple[Frames, Frames], Field(strict=False)]
Modalities = Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)]

_LABEL_RANGE = (-3.0, 3.0)
_MOST_BITS = 8
_MOST_NUMBERS = 2**30
_ROWS_PER_GROUP = 5
_MOST_CLASS_BITS = 3


@dataclass(frozen=True)
class _Part:
    """One bit of the label, and how it is seen.

    Attributes:
        seen_by: modalities that see it.
        flip: probability that the channel flips it.
        shares: each modality sees a share, and their exclusive-or is the bit; otherwise all see the bit.
    """

    seen_by: tuple[ModalityName, ...]
    flip: float
    shares: bool

    def observe(
        self, bit_N: NDArray[np.bool_], flip_N: NDArray[np.bool_], masks_NM: NDArray[np.bool_]
    ) -> dict[ModalityName, NDArray[np.bool_]]:
        """What each modality sees of N draws of the bit.

        Args:
            bit_N: the bit.
            flip_N: whether the channel flips it.
            masks_NM: fair bits, of which M shares use the first M - 1.
        """
        seen_N = bit_N ^ flip_N
        if not self.shares:
            return dict.fromkeys(self.seen_by, seen_N)
        masks = [masks_NM[:, column] for column in range(len(self.seen_by) - 1)]
        last_N = np.logical_xor.reduce([seen_N, *masks])
        return dict(zip(self.seen_by, [*masks, last_N], strict=True))

    def information(self, subset: Collection[ModalityName]) -> float:
        """I(views of ``subset``; bit) in nats, by enumeration of all states of bit, channel and masks."""
        num_masks = len(self.seen_by) - 1 if self.shares else 0
        states = np.array(list(itertools.product([False, True], repeat=2 + num_masks)))
        probability = np.where(states[:, 1], self.flip, 1.0 - self.flip) / 2.0 ** (1 + num_masks)
        views = self.observe(states[:, 0], states[:, 1], states[:, 2:])
        seen = np.zeros(len(states), dtype=np.int64)
        for name in self.seen_by:
            if name in subset:
                seen = 2 * seen + views[name]
        joint = np.zeros((seen.max() + 1, 2))
        np.add.at(joint, (seen, states[:, 0].astype(int)), probability)
        return float(entr(joint.sum(0)).sum() + entr(joint.sum(1)).sum() - entr(joint).sum())


@dataclass(frozen=True)
class PlantedTruth:
    """The exact mutual information between modalities and label of planted data.

    Attributes:
        parts: the bits of the label.
    """

    parts: tuple[_Part, ...]

    def information(self, subset: Collection[ModalityName]) -> float:
        """I(X_S; Y) in nats, for the modalities in ``subset`` together.

        The parts are independent and the label determines every bit, so their information adds up (chain
        rule).
        """
        return math.fsum(part.information(subset) for part in self.parts)

    def all_bits(self) -> dict[str, float]:
        """I(X_S; Y) in bits for all seven subsets, by names such as ``text+audio``."""
        subsets = [subset for size in (1, 2, 3) for subset in itertools.combinations(MODALITIES, size)]
        return {"+".join(subset): self.information(subset) / math.log(2) for subset in subsets}


class Planted(DataSet):
    """A synthetic data set: ``open`` draws its splits, ``truth`` gives their exact information."""

    label_range = _LABEL_RANGE
    suite = "mosi"

    class Config(Named):
        """Sizes of the parts in bits of information about the label, and of the data."""

        name: Literal["planted"] = "planted"
        shared_bits: Bits = 1.0
        """Redundant information: all modalities of ``shared_by`` see it."""
        shared_by: Modalities = MODALITIES
        text_bits: Bits = 0.9
        """Information that only text holds."""
        audio_bits: Bits = 0.5
        vision_bits: Bits = 0.4
        synergy_bits: Bits = 0.6
        """Information that the modalities of ``synergy_of`` hold only all together."""
        synergy_of: Modalities = ("audio", "vision")
        rows_train: NumRows = 600
        rows_valid: NumRows = 200
        rows_test: NumRows = 200
        text_dim: Dim = 24
        audio_dim: Dim = 12
        vision_dim: Dim = 16
        text_frames: FrameRange = (1, 1)
        """Fewest and most frames of a row; (1, 1) is one vector a row."""
        audio_frames: FrameRange = (3, 9)
        vision_frames: FrameRange = (2, 6)
        noise: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
        """Half-width of the uniform noise on a bit of amplitude 1; below 1 no information is lost to it."""
        kind: TargetKind = Field(default="regression", exclude_if=lambda kind: kind == "regression")
        """What the label is, see ``planted_target``."""
        modalities: Modalities = MODALITIES
        """Which of the modalities the corpus has."""
        seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
        folds: FoldsConfig | None = None
        """Search by folds of the rows of train and valid together; null searches on valid."""

        @model_validator(mode="after")
        def _consistent(self) -> Planted.Config:
            parts = _parts(self)
            if not 1 <= len(parts) <= _MOST_BITS:
                rule = f"the parts, each rounded up, must add up to 1 to {_MOST_BITS} bits"
                raise refuse(len(parts), rule, at=("shared_bits",))
            if len(set(self.synergy_of)) < 2:
                raise refuse(self.synergy_of, "synergy needs two or three modalities", at=("synergy_of",))
            for name in MODALITIES:
                least, most = getattr(self, f"{name}_frames")
                if least > most:
                    raise refuse((least, most), "must be [fewest, most]", at=(f"{name}_frames",))
                dim, seen = getattr(self, f"{name}_dim"), sum(name in part.seen_by for part in parts)
                if dim < seen:
                    raise refuse(dim, f"{name} sees {seen} bits", f"Write {seen} or more.", (f"{name}_dim",))
            if (size := self.numbers()) > _MOST_NUMBERS:
                rule = f"is too much: the corpus would have {size:,} numbers, {4 * size / 2**30:,.0f} GiB"
                raise refuse(self.rows_train, rule, "Lower rows, dimensions or frames.", at=("rows_train",))
            return self

        def numbers(self) -> int:
            """Upper bound on the numbers in the corpus and in the rotations behind it."""
            rows = self.rows_train + self.rows_valid + self.rows_test
            sizes = [
                (getattr(self, f"{name}_dim"), getattr(self, f"{name}_frames")[1]) for name in MODALITIES
            ]
            return sum(rows * dim * frames + dim**2 for dim, frames in sizes)

    def __init__(self, config: Config):
        self.config = config
        self.target = planted_target(config.kind, _parts(config))

    def open(self, splits: Sequence[SplitName]) -> Corpus:
        """Draw the named splits; each is a function of the configuration and its own name alone."""
        opened = {split: self._draw(split) for split in splits}
        outlines = {split: self._outline(split) for split in SPLITS}
        check_splits(opened, (self.target,), "planted data", outlines=outlines)
        for name, split in opened.items():
            warn_about_labels(split, f"planted {name}")
        targets = () if self.config.kind == "regression" else (self.target,)
        return Corpus(self.config.name, self.label_range, opened, self.suite, outlines, targets)

    def _outline(self, split: SplitName) -> Outline:
        ids, groups = self._names(split)
        widths = {name: getattr(self.config, f"{name}_dim") for name in self.config.modalities}
        return Outline(ids, groups, widths, origin=f"seed {self.config.seed}")

    def _names(self, split: SplitName) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        """Ids and groups, each (N,)."""
        num_rows = getattr(self.config, f"rows_{split}")
        groups = [f"{split}{row // _ROWS_PER_GROUP:05d}" for row in range(num_rows)]
        ids = [f"{group}_{row % _ROWS_PER_GROUP}" for row, group in enumerate(groups)]
        return np.array(ids), np.array(groups)

    def truth(self) -> PlantedTruth:
        """The exact mutual information between modalities and label."""
        return PlantedTruth(_parts(self.config))

    def _draw(self, split: SplitName) -> Split:
        parts, num_rows = _parts(self.config), getattr(self.config, f"rows_{split}")
        generator = np.random.default_rng(derive_seed("planted", self.config.seed, split))
        bits_NK = generator.random((num_rows, len(parts))) < 0.5
        seen: dict[ModalityName, list[NDArray[np.bool_]]] = {name: [] for name in MODALITIES}
        for part, bit_N in zip(parts, bits_NK.T, strict=True):
            # Masks are drawn for every part, used or not: a part's draws must not depend on the others' kind.
            flip_N = generator.random(num_rows) < part.flip
            masks_NM = generator.random((num_rows, len(MODALITIES) - 1)) < 0.5
            for name, seen_N in part.observe(bit_N, flip_N, masks_NM).items():
                seen[name].append(seen_N)
        features: dict[str, Any] = {
            name: self._lift(name, np.array(seen[name]).reshape(-1, num_rows).T, split) for name in MODALITIES
        }
        ids, groups = self._names(split)
        return Split(
            ids=ids,
            groups=groups,
            labels=_values(bits_NK, self.config.kind),
            **{name: features[name] for name in self.config.modalities},
        )

    def _lift(self, name: ModalityName, bits_NK: NDArray[np.bool_], split: SplitName) -> Features:
        """Frames whose first K rotated coordinates are the bits as -1 and 1 plus noise, the rest Gaussian."""
        seed, dim = self.config.seed, getattr(self.config, f"{name}_dim")
        least, most = getattr(self.config, f"{name}_frames")
        # A generator for each modality: leaving one out must not change the frames of the others.
        generator = np.random.default_rng(derive_seed("planted", seed, split, name))
        lengths_N = generator.integers(least, most + 1, len(bits_NK))
        frames_LD = generator.standard_normal((lengths_N.sum(), dim))
        # Noise below the amplitude of a bit never changes its sign, so the frames hold exactly the bits'
        # information.
        signs_LK = np.repeat(2.0 * bits_NK - 1.0, lengths_N, axis=0)
        noise_LK = generator.uniform(-self.config.noise, self.config.noise, signs_LK.shape)
        frames_LD[:, : bits_NK.shape[1]] = signs_LK + noise_LK
        offsets = np.concatenate([[0], np.cumsum(lengths_N)]).astype(np.int64)
        return Features((frames_LD @ rotation(seed, name, dim)).astype(np.float32), offsets)


def rotation(seed: int, name: ModalityName, dim: int) -> NDArray[np.float64]:
    """The orthogonal (D, D) matrix from bit coordinates to features of a modality."""
    generator = np.random.default_rng(derive_seed("planted rotation", seed, name))
    return np.linalg.qr(generator.standard_normal((dim, dim)))[0]


def _labels(bits_NK: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A label in [-3, 3] that is different for every pattern of bits.

    The weights 2^(k/K), k < K, are linearly independent over the rationals, so no two signed sums are equal:
    this is what makes the label injective. Shared bits weigh most, synergistic ones least.
    """
    num_bits = bits_NK.shape[1]
    weights_K = 2.0 ** (np.arange(num_bits)[::-1] / num_bits)
    labels_N: NDArray[np.float64] = _LABEL_RANGE[1] * (2.0 * bits_NK - 1.0) @ weights_K / weights_K.sum()
    return labels_N.astype(np.float32)


def planted_target(kind: TargetKind, parts: Sequence[_Part]) -> TargetSpec:
    """The target of planted data: what the bits of its parts are made into, the shared ones first.

    ``regression``: a number in [-3, 3] that is different for every pattern of bits. ``ordinal``: how many
    bits are set. ``binary``: the first bit. ``multiclass``: the patterns of the first bits, at most
    3 of them. ``multilabel``: each bit.
    """
    count = len(parts)
    if kind == "regression":
        return TargetSpec("label", low=_LABEL_RANGE[0], high=_LABEL_RANGE[1], suite="mosi")
    if kind == "ordinal":
        return TargetSpec("label", kind, low=0.0, high=float(count))
    classes = {
        "binary": ("negative", "positive"),
        "multiclass": tuple(f"class{number}" for number in range(2 ** min(count, _MOST_CLASS_BITS))),
        "multilabel": tuple(f"bit{number}" for number in range(count)),
    }
    return TargetSpec("label", kind, classes=classes[kind])


def _values(bits_NK: NDArray[np.bool_], kind: TargetKind) -> NDArray[np.float32]:
    """Values of ``planted_target``."""
    if kind == "regression":
        return _labels(bits_NK)
    if kind == "multilabel":
        return bits_NK.astype(np.float32)
    if kind == "ordinal":
        return np.asarray(bits_NK.sum(axis=1), np.float32)
    used_NK = bits_NK[:, : 1 if kind == "binary" else _MOST_CLASS_BITS]
    ids_N: NDArray[np.float32] = (used_NK @ (2 ** np.arange(used_NK.shape[1]))).astype(np.float32)
    return ids_N


def _parts(config: Planted.Config) -> tuple[_Part, ...]:
    private = [(getattr(config, f"{name}_bits"), (name,)) for name in MODALITIES]
    return (
        *_bits_of(config.shared_bits, config.shared_by, shares=False),
        *(part for bits, seen_by in private for part in _bits_of(bits, seen_by, shares=False)),
        *_bits_of(config.synergy_bits, config.synergy_of, shares=True),
    )


def _bits_of(bits: float, seen_by: tuple[ModalityName, ...], shares: bool) -> list[_Part]:
    """The fewest label bits that can carry ``bits``, all through the same channel."""
    count = math.ceil(bits)
    return [_Part(tuple(dict.fromkeys(seen_by)), _flip_for(bits / count), shares)] * count if count else []


def _flip_for(bits: float) -> float:
    """Flip probability p in [0, 1/2] of the binary symmetric channel of capacity 1 - h(p) = ``bits``."""
    from scipy.optimize import brentq

    return float(
        brentq(lambda p: (math.log(2) - entr(p) - entr(1 - p)) / math.log(2) - bits, 0.0, 0.5, xtol=1e-15)
    )
