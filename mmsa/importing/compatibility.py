"""Removing the choices of an imported space that models cannot be built with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmsa.config import parse, walk
from mmsa.data.catalogue import DATA_SETS
from mmsa.data.corpus import MODALITIES, Corpus, Features, Split
from mmsa.errors import ConfigError, Problem
from mmsa.search.definition.misfits import refuse_misfits
from mmsa.search.definition.study_config import StudyConfig

_PARAMETERS = "search.parameters."


def compatible(config: StudyConfig, feature_dims: Sequence[int]) -> tuple[StudyConfig | None, list[str]]:
    """Remove the choices that do not fit the others from a space.

    Spaces on a pretrained text encoder, which may not be at hand, are left as they are.

    Args:
        config: the imported space.
        feature_dims: of text, audio and vision.

    Returns:
        The space, None if the shipped point itself does not fit; and why each removed choice does not fit.
    """
    corpus, notes = _corpus(config, feature_dims), []
    while walk(config.base.model_dump(), "model.text.name") != "pretrained":
        try:
            refuse_misfits(config, corpus)
        except ConfigError as error:
            notes += [f"{p.path.removeprefix(_PARAMETERS)} {p.value!r} {p.rule}" for p in error.problems]
            if any(not problem.path.startswith(_PARAMETERS) for problem in error.problems):
                return None, notes
            config = _without(config, error.problems)
        else:
            break
    return config, notes


def _without(config: StudyConfig, problems: Sequence[Problem]) -> StudyConfig:
    values: dict[str, Any] = config.model_dump()
    parameters = values["search"]["parameters"]
    for problem in problems:
        path = problem.path.removeprefix(_PARAMETERS)
        left = tuple(choice for choice in parameters[path]["choices"] if choice != problem.value)
        parameters[path]["choices"] = left
        if len(left) < 2:
            del parameters[path]
    return parse(StudyConfig, values, config.study)


def _corpus(config: StudyConfig, feature_dims: Sequence[int]) -> Corpus:
    """Two rows of zeros, as wide as those of the data set: all it takes to build models for it."""
    name = config.base.data.name
    ids = np.array(["0", "1"])
    features: dict[str, Any] = {
        modality: Features.from_vectors(np.zeros((2, dim), np.float32))
        for modality, dim in zip(MODALITIES, feature_dims, strict=True)
    }
    split = Split(ids, ids, np.zeros(2, np.float32), **features)
    return Corpus(name, DATA_SETS[name].label_range, {"train": split}, DATA_SETS[name].suite)
