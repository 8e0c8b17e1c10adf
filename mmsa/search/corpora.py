"""The corpus that a trial trains on: the shared one, or its own where the search changes the text encoder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmsa.data.catalogue import open_corpus
from mmsa.data.corpus import MODALITIES, Corpus, ModalityName, Split
from mmsa.experiment import RunConfig
from mmsa.models.text import PretrainedConfig
from mmsa.models.text_input import encode_text

_AFTER_ENCODING = {"dropout", "output"}
_OF_LAYERS = {"freeze_layers", "cache_frozen"}


def prepare(config: RunConfig, cache: Path) -> Corpus:
    """Open train and valid of the data set, with text encoded for the model. Test stays closed.

    Raises:
        DataError: for files that are missing or damaged.
        ConfigError: for an encoder that cannot read the data set's text.
    """
    return encode_text(open_corpus(config.data, ("train", "valid")), config.model, cache)


class Corpora:
    """The corpora of one worker: two from the driver, and the one that was last encoded for a trial.

    Args:
        raw: train and valid as the data set has them. Searches do not change the data.
        encoded: the same with text encoded for ``base``.
        base: of the study.
        cache: folder of encoded text.
    """

    def __init__(self, raw: Corpus, encoded: Corpus, base: RunConfig, cache: Path):
        self._raw, self._cache, self._data = raw, cache, base.data
        self._shared = (text_encoding(base), encoded)
        self._own = self._shared

    def of(self, config: RunConfig) -> Corpus:
        """The corpus to train ``config`` on."""
        corpus = self._with_text(config)
        if config.data == self._data:
            return corpus
        # Only reference points leave modalities out; all else about the data is the study's.
        return of_modalities(corpus, config.data.modalities)  # type: ignore[attr-defined]

    def _with_text(self, config: RunConfig) -> Corpus:
        wanted = text_encoding(config)
        for encoding, corpus in (self._shared, self._own):
            if encoding == wanted:
                return corpus
        self._own = self._shared  # free the previous one before the next one is made: both may not fit
        self._own = (wanted, encode_text(self._raw, config.model, self._cache))
        return self._own[1]


def of_modalities(corpus: Corpus, modalities: Collection[ModalityName]) -> Corpus:
    """The corpus as if it had been opened with these modalities alone; nothing is copied."""

    def of(split: Split) -> Split:
        absent: dict[str, Any] = {name: None for name in MODALITIES if name not in modalities}
        labels = {name: values for name, values in split.unimodal_labels.items() if name in modalities}
        return replace(split, unimodal_labels=labels, **absent)

    return replace(corpus, splits={name: of(split) for name, split in corpus.splits.items()})


def text_encoding(config: RunConfig) -> object:
    """A key that is equal for configurations that read the same encoded text."""
    text = getattr(config.model, "text", None)
    if not isinstance(text, PretrainedConfig):
        return None
    return text.model_dump(exclude=_AFTER_ENCODING | (set() if text.states_are_cached else _OF_LAYERS))
