"""What a model is told of its inputs: kind and width of each modality, and statistics to standardise it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import MODALITIES, Corpus, Features, ModalityName, Strings
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError, shown

_CHUNK = 1 << 16  # frames whose float64 copy is in memory at once
_CONSTANT = 1e-6  # a column that varies by less than this part of its mean varies by float32 rounding only


@dataclass(frozen=True)
class TextInput:
    """Text that the model encodes itself.

    Attributes:
        kind: raw strings, or token ids of the encoder's own tokenizer.
    """

    kind: Literal["strings", "tokens"]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"kind": self.kind}


@dataclass(frozen=True, eq=False)
class FeatureInput:
    """Feature frames and their statistics on train: ``(values - mean) / scale`` is standardised.

    Attributes:
        dim: D, number of columns.
        mean: (D,) float32.
        scale: (D,) float32 standard deviations; 1 for constant columns.
    """

    dim: int
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def standardised(cls, dim: int) -> FeatureInput:
        """Of frames that are standardised already."""
        return cls(dim, np.zeros(dim, np.float32), np.ones(dim, np.float32))

    @classmethod
    def of(cls, features: Features) -> FeatureInput:
        """Statistics of all frames, accumulated in float64; a store knows them from when it was made."""
        known = features.mapped
        if known is not None and known.mean is not None and known.scale is not None:
            return cls(features.dim, known.mean, known.scale)
        # In two passes and by chunks: the one-pass formula cancels where the mean is large beside the spread,
        # and a float64 copy of all frames would double the memory of a large data set.
        values = features.values
        chunks = [values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK)]
        mean = np.sum([chunk.sum(axis=0, dtype=np.float64) for chunk in chunks], axis=0) / len(values)
        squares = np.sum([np.square(chunk - mean).sum(axis=0) for chunk in chunks], axis=0)
        scale = np.sqrt(squares / len(values))
        scale[scale <= _CONSTANT * np.abs(mean)] = 1.0
        return cls(features.dim, mean.astype(np.float32), scale.astype(np.float32))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureInput) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.dim, self.mean.tobytes(), self.scale.tobytes()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, from which ``from_dict`` restores float32 values exactly."""
        return {"kind": "features", "dim": self.dim, "mean": self.mean.tolist(), "scale": self.scale.tolist()}


@dataclass(frozen=True)
class InputSpec:
    """Everything a model needs to know of a corpus to be built.

    Attributes:
        label_range: smallest and largest label of the primary target.
        text: strings, tokens or features; None, as every modality, where it is absent.
        audio: features.
        vision: features.
        targets: what can be predicted, the primary target first; a number called ``label`` if none is given.
    """

    label_range: tuple[float, float]
    text: TextInput | FeatureInput | None = None
    audio: FeatureInput | None = None
    vision: FeatureInput | None = None
    targets: tuple[TargetSpec, ...] = ()

    def __post_init__(self) -> None:
        if not self.targets:
            low, high = self.label_range
            object.__setattr__(self, "targets", (TargetSpec("label", low=low, high=high),))

    @classmethod
    def of(cls, corpus: Corpus) -> InputSpec:
        """Describe the inputs of ``corpus``; statistics are those of its train split.

        Raises:
            DataError: for a modality of which train has no frame at all.
        """
        inputs: dict[str, Any] = {}
        for name, modality in corpus["train"].modalities().items():
            if not isinstance(modality, Features):
                inputs[name] = TextInput("strings" if isinstance(modality, Strings) else "tokens")
            elif len(modality.values) == 0:
                raise DataError(
                    f"{corpus.name}: no row of train has any {name}; leave {name} out of data.modalities"
                )
            else:
                inputs[name] = FeatureInput.of(modality)
        return cls(corpus.label_range, **inputs, targets=corpus.targets)

    def predicting(self, names: Collection[str]) -> InputSpec:
        """The same for a model that predicts the primary target and these others."""
        primary, *others = self.targets
        return replace(self, targets=(primary, *(other for other in others if other.name in names)))

    def modalities(self) -> dict[ModalityName, TextInput | FeatureInput]:
        """The modalities that are present, in the order text, audio, vision."""
        present = {name: getattr(self, name) for name in MODALITIES}
        return {name: value for name, value in present.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        inputs = {str(name): value.to_dict() for name, value in self.modalities().items()}
        declared = len(self.targets) > 1 or not self.targets[0].is_plain
        described = {"targets": [asdict(target) for target in self.targets]} if declared else {}
        return {"label_range": list(self.label_range), **inputs, **described}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> InputSpec:
        """The inverse of ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: for anything that ``to_dict`` does not give.
        """
        low, high = map(float, values["label_range"])
        return cls(
            (low, high),
            text=_input_from_dict(values.get("text")),
            audio=_features_from_dict(values.get("audio")),
            vision=_features_from_dict(values.get("vision")),
            targets=tuple(_target_from_dict(target) for target in values.get("targets", ())),
        )


def _target_from_dict(values: dict[str, Any]) -> TargetSpec:
    return TargetSpec(**{**values, "classes": tuple(map(str, values["classes"]))})


@overload
def _features_from_dict(values: None) -> None: ...
@overload
def _features_from_dict(values: dict[str, Any]) -> FeatureInput: ...
def _features_from_dict(values: dict[str, Any] | None) -> FeatureInput | None:
    if values is None:
        return None
    dim, mean_D = values["dim"], np.array(values["mean"], np.float32)
    scale_D = np.array(values["scale"], np.float32)
    if not isinstance(dim, int) or not mean_D.shape == scale_D.shape == (dim,):
        raise ValueError(f"{shown(dim)} columns with {mean_D.shape} means and {scale_D.shape} scales")
    if not (np.isfinite(mean_D).all() and np.isfinite(scale_D).all() and (scale_D > 0).all()):
        raise ValueError("means or scales of columns that are not finite, or scales that are not positive")
    return FeatureInput(dim, mean_D, scale_D)


def _input_from_dict(values: dict[str, Any] | None) -> TextInput | FeatureInput | None:
    if values is None or values["kind"] == "features":
        return _features_from_dict(values)
    if values["kind"] not in ("strings", "tokens"):
        raise ValueError(f"text of the kind {shown(values['kind'])}")
    return TextInput(values["kind"])
