"""The trial that takes the place of a replaced one."""

from __future__ import annotations

from typing import Any

from mmsa.search.definition.population import explored
from mmsa.search.schedulers import Replacement
from mmsa.search.study.cards import trial_config
from mmsa.search.study.stored import PARENT, REPLACES
from mmsa.search.study.view import StudyView
from mmsa.seeding import derive_seed


def successor(study: StudyView, replacement: Replacement) -> dict[str, Any]:
    """What the study remembers of a trial that goes on from its parent's weights: a function of study and
    replacement.

    It is a whole run: it begins where the parent began, and takes the parent's course before its own.
    """
    parent, config = study.trial(replacement.parent), study.config
    values = config.space.values_of(trial_config(study, parent).during(replacement.epoch + 1))
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
