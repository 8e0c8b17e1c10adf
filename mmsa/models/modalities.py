"""What the published models share: one encoder for each modality that the data bring, a fusion, a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn

from mmsa.config import Named, one_of
from mmsa.data.batches import Batch
from mmsa.data.corpus import ModalityName
from mmsa.data.inputs import FeatureInput, InputSpec, TextInput
from mmsa.errors import ConfigError, Problem
from mmsa.models.base import Encoded, Model, RepresentationDims, Representations
from mmsa.models.encoders import ENCODERS, TEXT_ENCODERS, Encoder, LSTMEncoder
from mmsa.models.framewise import Framewise as Framewise
from mmsa.models.fusions import FUSIONS, MLPFusion
from mmsa.models.fusions.base import Fused, refused
from mmsa.models.heads import build_head, entropy_of, raw_output
from mmsa.models.layers import standardised_by_row
from mmsa.models.pretrained import layers_above
from mmsa.models.text import FrozenText, PretrainedConfig, PretrainedText, UpperText, does_not_read

Scale = Literal["train", "row"]
"""What features are standardised by."""


class MultimodalConfig(Named):
    """An encoder for each modality, and a fusion; encoders of modalities that the data lack are not built."""

    text: Annotated[Named, one_of(TEXT_ENCODERS)] = LSTMEncoder.Config(hidden=64, output=64)
    audio: Annotated[Named, one_of(ENCODERS)] = LSTMEncoder.Config()
    vision: Annotated[Named, one_of(ENCODERS)] = LSTMEncoder.Config()
    fusion: Annotated[Named, one_of(FUSIONS)] = MLPFusion.Config()
    audio_scale: Scale = "train"
    """What frames of audio are standardised by: all of train, or first each row by its own frames. That takes
    away what distinguishes microphones, and the level of a voice, which may itself be a sign."""
    vision_scale: Scale = "train"
    """The same for vision."""
    presence: bool = False
    """Give the fusion a learned vector, and not zeros, for a modality that a row lacks, so that it can tell
    an absent modality from a neutral one."""


def _build_encoder(config: Named, inputs: TextInput | FeatureInput, weights: bool) -> Encoder:
    if isinstance(config, PretrainedConfig):
        if isinstance(inputs, FeatureInput) and config.states_are_cached:
            return UpperText(config, weights=weights)
        if isinstance(inputs, TextInput) and config.finetune and not config.states_are_cached:
            return PretrainedText(config, weights=weights)
        if isinstance(inputs, FeatureInput) and not config.finetune:
            return FrozenText(config, inputs)
    elif isinstance(inputs, FeatureInput):
        return TEXT_ENCODERS[config.name](config, inputs)
    raise does_not_read(config, inputs.kind if isinstance(inputs, TextInput) else "features")


class MultimodalModel(Model):
    """Encodes each modality on its own, fuses the encodings, and predicts linearly from the fused vector."""

    def __init__(self, config: MultimodalConfig, inputs: InputSpec, *, weights: bool = True):
        super().__init__()
        self.encoders = nn.ModuleDict()
        self._by_row = {name for name in ("audio", "vision") if getattr(config, f"{name}_scale") == "row"}
        widths: dict[ModalityName, int] = {}
        for name, part in inputs.modalities().items():
            if name in self._by_row and isinstance(part, FeatureInput):
                part = FeatureInput.standardised(part.dim)
            encoder = _build_encoder(getattr(config, name), part, weights)
            self.encoders[name] = encoder
            widths[name] = encoder.output
        self.fusion = FUSIONS[config.fusion.name](config.fusion, widths)
        if config.presence and self.fusion.averages:
            rule = "leaves absent modalities out of its average, so there is no vector to learn for them"
            raise refused(config.fusion, rule, "Write model.presence: false.")
        # From zero, so that learning starts where it starts without them.
        self.absent = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(width)) for name, width in widths.items() if config.presence}
        )
        self.numbers_per_row = self.fusion.numbers_per_row
        self.targets = inputs.targets
        primary, *others = inputs.targets
        if self.fusion.by_entropy and primary.kind == "regression":
            rule = f"weighs by the entropy of predicted classes, and {primary.name} is a number"
            advice = "Write model.fusion.weights: learnt."
            raise ConfigError("model", [Problem("model.fusion.weights", "entropy", rule, advice)])
        self.predict = build_head(primary, self.fusion.output)
        self.further = nn.ModuleList(build_head(other, self.fusion.output) for other in others)
        mixture = len(widths) if self.fusion.averages else 0
        self.dims = RepresentationDims(
            widths, self.fusion.output, self.fusion.extra, mixture, primary.concept_width
        )

    def forward(self, batch: Batch) -> Representations:
        """Compute representations and prediction of a batch, which may lack modalities of the model."""
        encoded = {name: self._encode(name, batch) for name in self.dims.unimodal}
        fused = self._fused(encoded)
        unimodal = {name: part.vector for name, part in encoded.items()}
        extra = dict(fused.extra)
        if self.training and "shuffled" in self.requested:
            extra["shuffled"] = self._fused(_shuffled(encoded)).vector
        primary, *others = self.targets
        further = {
            other.name: raw_output(other, cast(nn.Linear, head), fused.vector)
            for other, head in zip(others, self.further, strict=True)
        }
        prediction = raw_output(primary, self.predict, fused.vector)
        return Representations(unimodal, fused.vector, prediction, extra, further)

    def _fused(self, encoded: Mapping[ModalityName, Encoded]) -> Fused:
        if self.absent:
            encoded = {name: part.filled(self.absent[name]) for name, part in encoded.items()}
        if not self.fusion.by_entropy:
            fused: Fused = self.fusion(encoded)
            return fused
        primary = self.targets[0]
        # Read and not trained: a modality must not learn to look sure.
        parts = [raw_output(primary, self.predict, part.vector).detach() for part in encoded.values()]
        weighed: Fused = self.fusion(encoded, torch.stack([entropy_of(primary, raw) for raw in parts], 1))
        return weighed

    def _encode(self, name: ModalityName, batch: Batch) -> Encoded:
        sequence = getattr(batch, name)
        if sequence is None:
            return Encoded.absent(len(batch), self.dims.unimodal[name], batch.labels.device)
        if name in self._by_row:
            sequence = standardised_by_row(sequence)
        encoded: Encoded = self.encoders[name](sequence)
        return encoded

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """All trained parameters: of a fine-tuned text encoder, the weights of an average, and the rest."""
        depths = self.pretrained_depths()
        groups: dict[str, list[nn.Parameter]] = {"main": [], "pretrained": [], "mixture": []}
        for name, parameter in self.named_parameters():
            if parameter is self.fusion.mixture:
                groups["mixture"].append(parameter)
            elif parameter.requires_grad:
                groups["pretrained" if name in depths else "main"].append(parameter)
        return groups

    def modality_encoders(self) -> Mapping[str, nn.Module]:
        """The encoders of the modalities that the data bring."""
        return dict(self.encoders.items())

    def pretrained_depths(self) -> dict[str, int]:
        """Layers between each parameter of the text encoder's backbone and its output."""
        return {
            f"{prefix}.backbone.{name}": depth
            for prefix, module in self.named_modules()
            if isinstance(module, PretrainedText)
            for name, depth in layers_above(module.backbone).items()
        }


def _shuffled(encoded: Mapping[ModalityName, Encoded]) -> dict[ModalityName, Encoded]:
    """Take each modality from other rows, as a sample of the product of their distributions."""
    rows = len(next(iter(encoded.values())).vector)
    return {name: part.take(_permutation(rows, part.vector)) for name, part in encoded.items()}


def _permutation(rows: int, like: Tensor) -> Tensor:
    return torch.randperm(rows, device=like.device)
