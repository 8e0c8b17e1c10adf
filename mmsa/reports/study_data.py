"""The data of a study, opened again: those that it saw, or none."""

from __future__ import annotations

from mmsa.config import Named
from mmsa.data.catalogue import open_corpus
from mmsa.data.corpus import Corpus
from mmsa.errors import DataError


def open_as_searched(study: str, data: Named, known: str | None) -> Corpus:
    """Train and valid as a study saw them; test stays closed.

    Args:
        study: its name.
        data: the block ``data`` of its base.
        known: the digest of what it saw.

    Raises:
        DataError: where the data are missing, or others than those.
    """
    corpus = open_corpus(data, ("train", "valid"))
    if corpus.digest != known:
        raise DataError(
            f"{corpus.name}: train and valid (digest {corpus.digest[:12]}) are not those that study "
            f"{study!r} saw ({str(known)[:12]}); bring those back to where data.path says, or search again"
        )
    return corpus
