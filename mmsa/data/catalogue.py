"""The data sets mmsa knows by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmsa.config import Block
from mmsa.data.corpus import Corpus, SplitName
from mmsa.data.planted import Planted
from mmsa.registry import Registry

DATA_SETS: Registry[Any] = Registry("data set")
DATA_SETS.register("planted")(Planted)


def open_corpus(config: Block, splits: Sequence[SplitName] = ("train", "valid")) -> Corpus:
    """Open the data set of a ``data`` block. Rows of splits that are not named are not read.

    Raises:
        DataError: for a file that is missing, damaged, or not what the block says.
    """
    corpus: Corpus = DATA_SETS[config.name](config).open(splits)  # type: ignore[attr-defined]
    return corpus
