"""Test-beds of target information: three sources and a target whose every information is known.

Independent fair bits are dealt to text, audio and vision. The target is a function of them, of which each bit
is flipped with probability ``error``, so that a fair bit of the target is worth 1 - h(error) bits. A random
rotation lifts what a source sees into R^D, with noise that is bounded along the bits and Gaussian across
them. The bits can be read back, hence I(features; target) = I(bits; target).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, ndtr, ndtri

from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.data.planted import rotation
from mmsa.seeding import derive_seed

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_NOISE = 0.5


@dataclass(frozen=True)
class ThreeSourceSample:
    """N rows of one bed.

    Attributes:
        sources: Features of each source, (N, D).
        target: (N,).
    """

    sources: Mapping[ModalityName, Floats]
    target: NDArray[np.int64] | Floats


@dataclass(frozen=True)
class BitSources:
    """Sources that see fair bits, and a target that is a function of these.

    Attributes:
        num_bits: K.
        seen: Which bits each source sees.
        target: Maps (N, K) bits to (N, J) bits.
        error: Probability that a bit of the target is flipped.
    """

    num_bits: int
    seen: Mapping[ModalityName, tuple[int, ...]]
    target: Callable[[Bools], Bools]
    error: float = 0.05

    def table(self, *groups: Collection[ModalityName]) -> Floats:
        """Return exact probabilities of (what each group of sources sees, target), one axis each."""
        states_SK = _all_patterns(self.num_bits)
        clean_S = _number(self.target(states_SK))
        num_target = self.target(states_SK).shape[1]
        shape = [2 ** len(self._bits(group)) for group in groups]
        probability = np.zeros((*shape, 2**num_target))
        axes = [_number(states_SK[:, self._bits(group)]) for group in groups]
        for flip in _all_patterns(num_target):
            weight = self.error ** flip.sum() * (1 - self.error) ** (~flip).sum() / len(states_SK)
            np.add.at(probability, (*axes, clean_S ^ _number(flip[None])), weight)
        return probability

    def information(self, subset: Collection[ModalityName]) -> float:
        """Return I(X_S; Y) in nats.

        Examples:
            >>> round(BEDS["parity"].information(["text", "audio"]), 4)  # nothing without vision
            0.0
        """
        joint = self.table(subset)
        return float(entr(joint.sum(0)).sum() + entr(joint.sum(1)).sum() - entr(joint).sum())

    def sample(self, num_rows: int, seed: int, dim: int = 8) -> ThreeSourceSample:
        """Draw rows, with ``dim`` features of each source."""
        generator = np.random.default_rng(derive_seed("three sources", seed))
        bits_NK = generator.random((num_rows, self.num_bits)) < 0.5
        clean_NJ = self.target(bits_NK)
        target_N = _number(clean_NJ ^ (generator.random(clean_NJ.shape) < self.error))
        sources = {
            name: _lift(bits_NK[:, list(bits)], dim, generator, rotation(seed, name, dim))
            for name, bits in self.seen.items()
        }
        return ThreeSourceSample(sources, target_N)

    def _bits(self, group: Collection[ModalityName]) -> list[int]:
        return sorted({bit for name in group for bit in self.seen[name]})


@dataclass(frozen=True)
class GaussianSources:
    """Synergy by cancelling: text and vision see the target through one common noise, which audio sees.

    text = y + n + e1, audio = n + e2, vision = y + n + e3, where all parts are independent and Gaussian.

    Attributes:
        noise: Standard deviation of n; that of y is 1.
        error: Standard deviation of e1, e2 and e3.
    """

    noise: float = 1.0
    error: float = 0.5

    def correlation(self, subset: Collection[ModalityName]) -> float:
        """Return the multiple correlation of the target with the sources in ``subset``."""
        chosen = [MODALITIES.index(name) for name in MODALITIES if name in subset]
        sees_y, noise = np.array([1.0, 0.0, 1.0])[chosen], self.noise**2
        covariance = np.outer(sees_y, sees_y) + noise + self.error**2 * np.eye(len(chosen))
        return float(math.sqrt(sees_y @ np.linalg.solve(covariance, sees_y)))

    def information(self, subset: Collection[ModalityName], num_bins: int | None = None) -> float:
        """Return I(X_S; Y) in nats; with ``num_bins``, of the target in as many equally likely bins."""
        rho = self.correlation(subset)
        if num_bins is None:
            return -0.5 * math.log1p(-(rho**2))
        nodes, weights = np.polynomial.hermite_e.hermegauss(200)
        edges = ndtri(np.linspace(0.0, 1.0, num_bins + 1))
        cumulative = ndtr((edges[None] - rho * nodes[:, None]) / math.sqrt(1 - rho**2))
        conditional = entr(np.diff(cumulative, axis=1)).sum(1) @ (weights / weights.sum())
        return float(math.log(num_bins) - conditional)

    def sample(self, num_rows: int, seed: int, dim: int = 8) -> ThreeSourceSample:
        """Draw rows. The first rotated feature of each source carries what it sees, the others are noise."""
        generator = np.random.default_rng(derive_seed("three sources", seed))
        target_N, noise_N = generator.standard_normal((2, num_rows)) * [[1.0], [self.noise]]
        sources: dict[ModalityName, Floats] = {}
        for name, sees_y in zip(MODALITIES, (1.0, 0.0, 1.0), strict=True):
            features_ND = generator.standard_normal((num_rows, dim))
            features_ND[:, 0] = sees_y * target_N + noise_N + self.error * features_ND[:, 0]
            sources[name] = features_ND @ rotation(seed, name, dim)
        return ThreeSourceSample(sources, target_N)


def _lift(bits_NK: Bools, dim: int, generator: np.random.Generator, rotation_DD: Floats) -> Floats:
    features_ND = generator.standard_normal((len(bits_NK), dim))
    noise_NK = generator.uniform(-_NOISE, _NOISE, bits_NK.shape)
    features_ND[:, : bits_NK.shape[1]] = 2.0 * bits_NK - 1.0 + noise_NK
    return features_ND @ rotation_DD


def _all_patterns(num_bits: int) -> Bools:
    return np.array(list(itertools.product([False, True], repeat=num_bits)))


def _number(bits_NK: Bools) -> NDArray[np.int64]:
    """Return the number that each row of bits writes."""
    return bits_NK.astype(np.int64) @ (1 << np.arange(bits_NK.shape[1], dtype=np.int64))


def _one_each(target: Callable[[Bools], Bools]) -> BitSources:
    return BitSources(3, {"text": (0,), "audio": (1,), "vision": (2,)}, target)


BEDS: Mapping[str, BitSources | GaussianSources] = {
    "parity": _one_each(lambda bits: np.logical_xor.reduce(bits, axis=1, keepdims=True)),
    "copy": BitSources(1, dict.fromkeys(MODALITIES, (0,)), lambda bits: bits),
    "private": _one_each(lambda bits: bits),
    "majority": _one_each(lambda bits: bits.sum(1, keepdims=True) >= 2),
    "private_and_parity": _one_each(lambda bits: np.stack([bits[:, 0], bits[:, 1] ^ bits[:, 2]], axis=1)),
    "and": _one_each(lambda bits: bits[:, :1] & bits[:, 1:2]),
    "noise_cancelling": GaussianSources(),
}
"""parity: all three together, synergy. copy: all see one bit, redundancy. private: one bit each, uniqueness.
majority: all kinds. private_and_parity: text has one bit of its own, audio and vision another together. and:
the classical pair, text and audio. noise_cancelling: linear-Gaussian, with a continuous target."""
