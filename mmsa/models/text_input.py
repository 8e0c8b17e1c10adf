"""From the text of a data set to what the model's text encoder reads.

Strings become token ids (the encoder is fine-tuned), states of its lower layers (its upper ones are) or
features (it is frozen), once for each corpus and encoder: with a cache folder, the next process that asks
reads states and features from disk. Token ids are never written: who has the vocabulary reads a transcript
in them, and they take seconds. Shapes: L tokens in all,
D features.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmsa.config import Block, with_overrides
from mmsa.data.corpus import Corpus, Features, Split, Strings, Tokens
from mmsa.errors import DataError
from mmsa.models.modalities import MultimodalConfig
from mmsa.models.pretrained import (
    cannot_be_divided,
    encoder_digest,
    encoder_files,
    encoder_folder,
    load_backbone,
    load_tokenizer,
    remove_lower_layers,
)
from mmsa.models.text import KEEPS_TOKENS, PretrainedConfig, does_not_read, pool, refuse_more_layers

_ROWS_AT_ONCE = 64
_CACHE_FORMAT = 1

Arrays = dict[str, NDArray[Any]]


def encode_text(corpus: Corpus, config: Block, cache: Path | None) -> Corpus:
    """The corpus with its text in the form the model of ``config`` reads; the rest is the same.

    Strings, or token ids of the same encoder, become Features for a frozen pretrained encoder and Tokens for
    a fine-tuned one. Anything else is left as it is. Call it before ``InputSpec.of`` and ``build_model``.

    Args:
        cache: folder that keeps features between runs, safe for several processes; None computes anew.

    Raises:
        ConfigError: where the encoder cannot read the kind of text the corpus brings.
        DataError: where the encoder is not found, or the token ids are not its own.
    """
    # With folds train and valid are one split, which stays one.
    encoded = {id(split): encode_split(split, config, cache) for split in corpus.splits.values()}
    splits = {name: encoded[id(split)] for name, split in corpus.splits.items()}
    return replace(corpus, splits=splits)


def encode_split(split: Split, config: Block, cache: Path | None) -> Split:
    """``encode_text`` for one split, as prediction on new rows needs it."""
    if split.text is None or not isinstance(config, MultimodalConfig):
        return split
    if isinstance(config.text, PretrainedConfig):
        if isinstance(split.text, Features):
            raise does_not_read(config.text, "features")
        return replace(split, text=_encoded(split.text, config.text, cache))
    if not isinstance(split.text, Features):
        raise does_not_read(config.text, "strings" if isinstance(split.text, Strings) else "tokens")
    return split


def _encoded(text: Strings | Tokens, encoder: PretrainedConfig, cache: Path | None) -> Tokens | Features:
    folder = encoder_folder(encoder.path)
    sizes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    max_length = min(encoder.max_length, sizes.get("max_position_embeddings", encoder.max_length))
    key = [encoder_digest(folder), max_length, _text_digest(text)]

    def tokens() -> Tokens:
        if isinstance(text, Tokens):
            return _shortened(_checked_ids(text, encoder, sizes["vocab_size"]), max_length)
        arrays = _tokenised(text, folder, max_length)
        return Tokens(arrays["ids"], arrays["offsets"])

    if encoder.states_are_cached:
        layers = encoder.freeze_layers
        arrays = _cached(
            cache, ["states", layers, "float32", *key], lambda: _features(tokens(), folder, encoder)
        )
        return Features(arrays["values"], arrays["offsets"])
    if encoder.finetune:
        return tokens()
    arrays = _cached(cache, ["features", encoder.pooling, *key], lambda: _features(tokens(), folder, encoder))
    return Features(arrays["values"], arrays["offsets"])


def _text_digest(text: Strings | Tokens) -> str:
    digest = hashlib.sha256(type(text).__name__.encode())
    text.update(digest)
    return digest.hexdigest()


def _cached(cache: Path | None, key: list[object], compute: Callable[[], Arrays]) -> Arrays:
    """The arrays under ``key``, computed and written where the cache does not hold them yet.

    A file appears under its name only when it is complete, so that concurrent processes at worst compute it
    twice.
    """
    if cache is None:
        return compute()
    name = hashlib.sha256(json.dumps([_CACHE_FORMAT, *key]).encode()).hexdigest()
    file = cache / "text" / f"{name}.safetensors"
    try:
        arrays: Arrays = load_file(file)
    except (FileNotFoundError, SafetensorError):  # absent, or damaged after it was written
        arrays = compute()
    else:
        return arrays
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as work:
        save_file(arrays, Path(work) / file.name)
        (Path(work) / file.name).replace(file)
    return arrays


def _tokenised(text: Strings, folder: Path, max_length: int) -> Arrays:
    """Ragged token ids with the special tokens; a blank text has none, as a row that lacks the modality."""
    present = [value for value in text.values.tolist() if value.strip()]
    tokenizer = load_tokenizer(folder)
    max_length = min(max_length, tokenizer.model_max_length)
    ids = iter(tokenizer(present, truncation=True, max_length=max_length)["input_ids"] if present else [])
    rows = [next(ids) if value.strip() else [] for value in text.values.tolist()]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return {"ids": np.array([token for row in rows for token in row], dtype=np.int64), "offsets": offsets}


def _checked_ids(tokens: Tokens, encoder: PretrainedConfig, vocabulary: int) -> Tokens:
    if len(tokens.ids) and not 0 <= tokens.ids.min() <= tokens.ids.max() < vocabulary:
        raise DataError(
            f"token ids run from {tokens.ids.min()} to {tokens.ids.max()}, but {encoder.path} knows "
            f"{vocabulary} tokens: the data were prepared for another encoder. Name it in model.text.path"
        )
    return tokens


def _shortened(tokens: Tokens, max_length: int) -> Tokens:
    """Every row cut to its first ``max_length`` tokens."""
    lengths = np.minimum(tokens.lengths(), max_length)
    position = np.arange(len(tokens.ids)) - np.repeat(tokens.offsets[:-1], tokens.lengths())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(tokens.ids[position < max_length], offsets)


@torch.inference_mode()
def _features(tokens: Tokens, folder: Path, encoder: PretrainedConfig) -> Arrays:
    """What the model reads: pooled vectors, or states of all tokens; rows without a token have no frame."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone = load_backbone(folder).to(device)
    layers = encoder.freeze_layers if encoder.states_are_cached else None
    doubled = layers is None and encoder.pooling == "cls_mean"
    width = int(backbone.config.hidden_size) * (2 if doubled else 1)  # type: ignore[union-attr, arg-type]
    divided = layers is None
    lengths = tokens.lengths()
    by_length = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
    frames: list[NDArray[np.float32]] = [np.empty((0, width), np.float32)] * len(tokens)
    for start in range(0, len(by_length), _ROWS_AT_ONCE):
        rows = by_length[start : start + _ROWS_AT_ONCE]
        ids_BT = pad_sequence(
            [torch.tensor(tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]) for row in rows], True
        ).to(device)
        length_B1 = torch.tensor(lengths[rows], device=device)[:, None]
        mask_BT = torch.arange(ids_BT.shape[1], device=device) < length_B1
        result = backbone(
            input_ids=ids_BT, attention_mask=mask_BT.long(), output_hidden_states=layers is not None
        )
        states_BTD = result.last_hidden_state
        if layers is not None:
            refuse_more_layers(layers, len(result.hidden_states) - 1)
            lower_BTD = result.hidden_states[layers]
            if not divided:  # asked once: transformers tells of no architecture whether it can be
                _refuse_undivided(folder, layers, lower_BTD, mask_BT, states_BTD)
                divided = True
            states_BTD = lower_BTD
        if layers is not None or encoder.pooling in KEEPS_TOKENS:
            parts = [states_TD[:length] for states_TD, length in zip(states_BTD, lengths[rows], strict=True)]
        else:
            parts = list(pool(states_BTD, mask_BT, encoder.pooling)[:, None])
        for row, part in zip(rows, parts, strict=True):
            frames[row] = part.float().cpu().numpy()
    features = Features.from_rows(frames, width)
    return {"values": np.ascontiguousarray(features.values), "offsets": features.offsets}


def _refuse_undivided(
    folder: Path, layers: int, lower_BTD: Tensor, mask_BT: Tensor, expected_BTD: Tensor
) -> None:
    """Refuse an encoder whose upper layers give other states from ``lower_BTD`` than the whole of it gave."""
    upper = load_backbone(folder).to(lower_BTD.device)
    remove_lower_layers(upper, layers)
    try:
        states_BTD = upper(inputs_embeds=lower_BTD, attention_mask=mask_BT.long()).last_hidden_state
        torch.testing.assert_close(states_BTD[mask_BT], expected_BTD[mask_BT], atol=1e-4, rtol=1e-4)
    except (AssertionError, RuntimeError, TypeError, ValueError):
        raise cannot_be_divided(layers) from None


def save_text_frontend(config: Block, directory: Path) -> bool:
    """Copy what ``encode_text`` and ``build_model`` need of a pretrained encoder into ``directory``.

    Tokenizer and configuration; also the weights of an encoder of which not all are among the model's own.

    Returns:
        Whether the model of ``config`` reads a pretrained encoder at all; if not, nothing is written.
    """
    if not isinstance(config, MultimodalConfig) or not isinstance(config.text, PretrainedConfig):
        return False
    directory.mkdir(parents=True, exist_ok=True)
    whole = config.text.finetune and not config.text.states_are_cached
    for file in encoder_files(encoder_folder(config.text.path), weights=not whole):
        shutil.copyfile(file, directory / file.name)
    return True


def with_text_frontend(config: MultimodalConfig, directory: Path) -> MultimodalConfig:
    """The model's configuration with its encoder read from where ``save_text_frontend`` put it."""
    return with_overrides(config, {"text.path": str(directory)}, str(directory))
