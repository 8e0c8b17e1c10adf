"""The trial that replaces a loser of population-based training, and the settings it explores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mmsa.interface import Scalar
from mmsa.search.schedulers import Replacement
from mmsa.search.space.parameters import FloatParameter
from mmsa.search.space.space import Space
from mmsa.search.study.stored import PARENT, REPLACES
from mmsa.search.study.view import StudyView
from mmsa.seeding import derive_seed

_FACTORS = (0.8, 1.2)  # of the paper
_TRIES = 10


def successor(study: StudyView, replacement: Replacement) -> dict[str, Any]:
    """Attributes of the trial that continues from its parent's weights.

    They are a function of study and replacement, so a driver that dies can make them again. The trial is a
    complete run: it begins where the parent began and follows the parent's hyperparameter schedule before its
    own change.
    """
    parent, config = study.trial(replacement.parent), study.config
    values = config.space.values_of(study.trial_config(parent).at_epoch(replacement.epoch + 1))
    seed = derive_seed("explore", config.study, config.base.seed, replacement.loser, replacement.epoch)
    change = {
        "after": replacement.epoch,
        "set": explored(values, config.space, config.allows, seed),
    }
    return {
        "point": parent.overrides,
        "version": parent.version,
        "course": [*parent.course, change],
        PARENT: parent.number,
        REPLACES: replacement.loser,
    }


def explored(
    values: Mapping[str, Scalar], space: Space, allows: Callable[[Mapping[str, Scalar]], bool], seed: int
) -> dict[str, float]:
    """Perturb the settings of a good trial: each becomes a fifth larger or smaller, within its range.

    An exact 0 stays 0. If ``allows`` refuses every try, all settings stay (Jaderberg et al. 2017, "explore").
    """
    random = np.random.default_rng(seed)
    free = {path: float(value) for path, value in values.items() if path not in space.tied()}
    for _ in range(_TRIES):
        changed = space.with_ties({path: _moved(space, path, free[path], random) for path in free})
        if allows(changed):
            return {path: float(value) for path, value in changed.items()}
    return {path: float(value) for path, value in values.items()}


def _moved(space: Space, path: str, value: float, random: np.random.Generator) -> float:
    factor = float(random.choice(_FACTORS))
    if value == 0:
        return value
    parameter = space.parameters[path]
    assert isinstance(parameter, FloatParameter)
    return min(max(factor * value, parameter.low), parameter.high)
