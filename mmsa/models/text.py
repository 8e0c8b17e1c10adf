"""The ``pretrained`` text encoder: any encoder of transformers, frozen or fine-tuned.

Frozen, the backbone is no part of the model: ``encode_text`` turns strings into features once per corpus.
Fine-tuned, it turns strings into tokens, and the backbone is trained with the model in the parameter group
``pretrained``. Shapes: B rows, T tokens, D the backbone's width, W the encoder's output width.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.data.batches import Sequence, TokenSequence
from mmsa.data.inputs import FeatureInput
from mmsa.errors import ConfigError, Problem
from mmsa.models.base import Encoded, States
from mmsa.models.encoders import TEXT_ENCODERS, Dropout, Encoder, FeatureEncoder
from mmsa.models.layers import AttentionPooling, UniformDropout, masked_mean, with_uniform_dropout
from mmsa.models.pretrained import encoder_folder, layers_above, load_backbone, remove_lower_layers

Pooling = Literal["cls", "mean", "cls_mean", "attention", "tokens"]
KEEPS_TOKENS: frozenset[Pooling] = frozenset({"attention", "tokens"})
"""Poolings for which the features of a frozen encoder are the states of all tokens."""


def pool(states_BTD: Tensor, mask_BT: Tensor, pooling: Pooling) -> Tensor:
    """One vector a row from token states by a fixed rule: (B, D), or (B, 2 D) for ``cls_mean``."""
    first_BD, mean_BD = states_BTD[:, 0], masked_mean(states_BTD, mask_BT)
    if pooling == "cls_mean":
        return torch.cat([first_BD, mean_BD], dim=-1)
    return first_BD if pooling == "cls" else mean_BD


class PretrainedConfig(Named):
    """Which encoder, and what is done with it."""

    name: Literal["pretrained"] = "pretrained"
    path: str = "bert-base-uncased"
    """A folder, ``package:<module>/<folder>`` in an installed package, or a name on the Hugging Face hub."""
    finetune: bool = False
    """Train the encoder with the model, instead of computing its features once."""
    pooling: Pooling = "mean"
    """From token states to one vector: first token, mean, both side by side, or a learnt attention.
    ``tokens`` is the mean as well. With it and ``attention``, fusions that read sequences get the states of
    all tokens; of a frozen encoder with another pooling they get the vector as a sequence of one."""
    max_length: Annotated[int, Field(ge=3, le=65_536)] = 50
    """Tokens kept of each text, special ones included, as far as the encoder has positions for them."""
    dropout: Dropout = 0.1
    """On the pooled vector. Inside a fine-tuned encoder its own configuration decides."""
    output: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Width of a linear projection of the pooled vector; 0 keeps the encoder's own width."""
    freeze_layers: Annotated[int, Field(ge=0)] = 0
    """When fine-tuning: lowest layers left as they are, with the embeddings below them."""
    cache_frozen: bool = False
    """Compute the states above these layers once, and without dropout, as for a frozen encoder. They are kept
    in memory and in the cache: 4 bytes for each token and unit of width."""

    @property
    def states_are_cached(self) -> bool:
        """Whether the corpus holds states, from which the upper layers go on."""
        return self.finetune and self.cache_frozen and self.freeze_layers > 0


def does_not_read(encoder: Named, kind: Literal["strings", "tokens", "features"]) -> ConfigError:
    """The error for a text encoder that is given a kind of text it cannot read."""
    if kind == "features":
        next_step = "Write model.text: {name: lstm}, gru or mlp."
    elif isinstance(encoder, PretrainedConfig):
        next_step = "Pass the corpus through encode_text before the model is built."
    else:
        next_step = "Write model.text: {name: pretrained, path: <encoder>}."
    rule = f"does not read text that comes as {kind}"
    return ConfigError("model", [Problem("model.text.name", encoder.name, rule, next_step)])


def refuse_more_layers(layers: int, count: int) -> None:
    """Refuse to freeze more layers than the ``count`` of the encoder."""
    if layers > count:
        rule = f"is more than the {count} layers of the encoder"
        raise ConfigError("model", [Problem("model.text.freeze_layers", layers, rule, f"Give 0 to {count}.")])


class _Head(nn.Module):
    """Dropout and an optional projection of the pooled vector, or of each state."""

    def __init__(self, config: PretrainedConfig, width: int):
        super().__init__()
        self.output = config.output or width
        self.dropout = UniformDropout(config.dropout)
        self.project = nn.Linear(width, config.output) if config.output else nn.Identity()

    def forward(self, state: Tensor) -> Tensor:
        """(..., W) from (..., D)."""
        projected: Tensor = self.project(self.dropout(state))
        return projected


class FrozenText(FeatureEncoder):
    """What is trained on top of features that ``encode_text`` computed."""

    def __init__(self, config: PretrainedConfig, inputs: FeatureInput):
        super().__init__(inputs)
        self.attention = AttentionPooling(inputs.dim) if config.pooling == "attention" else None
        self.head = _Head(config, inputs.dim)
        self.output = self.head.output

    def encode(self, x_BTD: Tensor, sequence: Sequence) -> tuple[Tensor, States]:
        """(B, W) and (B, T, W)."""
        mask_BT = sequence.mask()
        pooled_BD = self.attention(x_BTD, mask_BT) if self.attention else masked_mean(x_BTD, mask_BT)
        return self.head(pooled_BD), lambda: self.head(x_BTD)


@TEXT_ENCODERS.register("pretrained")
class PretrainedText(Encoder):
    """A pretrained encoder trained with the model: tokens in, one vector a row and its states out."""

    Config = PretrainedConfig

    def __init__(self, config: PretrainedConfig, *, weights: bool = True):
        """Load the backbone.

        Args:
            weights: read the pretrained weights; without, they are left for a state dict to fill.

        Raises:
            DataError: where the encoder is not found.
            ConfigError: for more frozen layers than the encoder has.
        """
        super().__init__()
        self.backbone = with_uniform_dropout(load_backbone(encoder_folder(config.path), weights=weights))
        self.pooling = config.pooling
        width = int(self.backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.attention = AttentionPooling(width) if config.pooling == "attention" else None
        self.head = _Head(config, 2 * width if config.pooling == "cls_mean" else width)
        self.output = self.head.output
        self._freeze(config.freeze_layers)

    def _freeze(self, layers: int) -> None:
        above = layers_above(self.backbone)
        count = max(above.values())
        refuse_more_layers(layers, count)
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(layers == 0 or above[name] < count - layers)

    def forward(self, tokens: TokenSequence) -> Encoded:
        """Vector (B, W) and states (B, T, W), zero for rows without a token.

        The states of ``cls_mean``, which is twice as wide as a token, are the vector alone.
        """
        mask_BT = tokens.mask()
        attended_BT = mask_BT.clone()
        attended_BT[:, 0] = True  # a row that attends to nothing would be NaN
        states_BTD = self.backbone(input_ids=tokens.ids, attention_mask=attended_BT.long()).last_hidden_state
        return self._encoded(states_BTD, mask_BT, tokens.lengths)

    def _encoded(self, states_BTD: Tensor, mask_BT: Tensor, lengths_B: Tensor) -> Encoded:
        if self.attention:
            pooled_BD = self.attention(states_BTD, mask_BT)
        else:
            pooled_BD = pool(states_BTD, mask_BT, self.pooling)
        states = None if self.pooling == "cls_mean" else lambda: self.head(states_BTD)
        return Encoded.of(self.head(pooled_BD), lengths_B, states)


class UpperText(PretrainedText):
    """The layers above the frozen ones, on states that ``encode_text`` computed."""

    def __init__(self, config: PretrainedConfig, *, weights: bool = True):
        super().__init__(config, weights=weights)
        remove_lower_layers(self.backbone, config.freeze_layers)

    def forward(self, lower: Sequence) -> Encoded:  # type: ignore[override]
        """As of ``PretrainedText``."""
        mask_BT = lower.mask()
        attended_BT = mask_BT.clone()
        attended_BT[:, 0] = True
        states_BTD = self.backbone(
            inputs_embeds=lower.values, attention_mask=attended_BT.long()
        ).last_hidden_state
        return self._encoded(states_BTD, mask_BT, lower.lengths)
