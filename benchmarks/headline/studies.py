"""What is searched: four studies of the same data, model and number of trials.

=============  ==========================================================================================
searched       MIMRL's twelve coefficients as shares of a total
multiplier     MIMRL's published ratio times one number, with the same range of totals
published      MIMRL's coefficients as published
none           no term
=============  ==========================================================================================

All of them search the learning rate as well, so that every arm has something to gain from its trials. In the
first two ``normalise`` makes a coefficient of 1 mean the same for all; the third is as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, get_args

from compositions import planted

from mmsa.config import parse
from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.search.definition.study_config import StudyConfig

Arm = Literal["searched", "multiplier", "published", "none"]
ARMS: tuple[Arm, ...] = get_args(Arm)
SIZES = (686, 2000)
TRIALS, STARTUP = 48, 16
RATES = (3e-3, 3e-2)
TRAIN = {
    "epochs": 20,
    "batch_size": 128,
    "patience": 3,  # trials are at their best after 3 to 12 epochs, and then learn rows by heart
    "device": "cpu",
    "threads": 1,
}
TERM = "objective.terms.mimrl"
GROUP = "levels"
"""Name of the group of shares."""

Levels = Mapping[str, Mapping[str, float]]
"""Coefficients by level and by the modalities that they are about."""


def published_levels(modalities: Sequence[ModalityName]) -> Levels:
    """MIMRL's published coefficients: of pairs with text, or of the pair there is where text is missing."""
    pairs = [f"{x}_{y}" for x, y in combinations(modalities, 2)]
    used = [pair for pair in pairs if pair.startswith("text")] or pairs
    return {
        "fusion": dict.fromkeys(modalities, 0.01),
        "invariant": {pair: 0.01 if pair in used else 0.0 for pair in pairs},
        # What a modality has alone is defined against text.
        "specific": dict.fromkeys(modalities, 0.01) if "text" in modalities else {},
        "complementary": {pair: 0.04 if pair in used else 0.0 for pair in pairs},
    }


def paths_of(levels: Levels) -> dict[str, list[str]]:
    """The paths of the coefficients of each level that has any."""
    return {level: [f"{TERM}.{level}.{member}" for member in of] for level, of in levels.items() if of}


PUBLISHED = published_levels(MODALITIES)
LEVELS = paths_of(PUBLISHED)
_LOW, _HIGH, _ZERO = 0.05, 2.0, 0.1


def study_name(arm: Arm, family: str, rows: int, draw: int) -> str:
    return f"{family}-{rows}-{draw}-{arm}"


def study(arm: Arm, family: str, rows: int, draw: int, trials: int) -> StudyConfig:
    """The search of an arm on planted data."""
    base = _base(arm, family, rows, draw)
    return study_of(arm, study_name(arm, family, rows, draw), base, PUBLISHED, RATES, trials)


def study_of(
    arm: Arm, name: str, base: Mapping[str, Any], levels: Levels, rates: tuple[float, float], trials: int
) -> StudyConfig:
    """The search of an arm from a base configuration that has the arm's term.

    Args:
        arm: which coefficients are searched.
        name: of the study.
        base: its base configuration.
        levels: the published coefficients.
        rates: the range of learning rates.
        trials: how many.
    """
    values = {
        "study": name,
        "base": base,
        "search": {
            "parameters": {"optim.lr": _log(*rates), **_parameters(arm, levels)},
            "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
            "trials": trials,
            "references": "ridge",
            "sampler": {"name": "tpe", "startup": STARTUP},
            "scheduler": {"name": "none"},  # a trial that was stopped early says little about its shares
        },
    }
    return parse(StudyConfig, values, "headline")


def _log(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high, "log": True, **more}


def _parameters(arm: Arm, levels: Levels) -> dict[str, Any]:
    if arm == "searched":
        paths = [path for of in paths_of(levels).values() for path in of]
        return {GROUP: {"type": "shares", "of": paths, "total": _log(_LOW, _HIGH, zero=_ZERO), "zero": 0.2}}
    if arm == "multiplier":
        total = sum(sum(of.values()) for of in levels.values())
        return {f"{TERM}.weight": _log(_LOW / total, _HIGH / total, zero=_ZERO)}
    return {}


def _base(arm: Arm, family: str, rows: int, draw: int) -> dict[str, Any]:
    network = {"hidden": 32, "layers": 2}
    # Three numbers for each modality, of which none has more than three bits: an encoder can keep everything,
    # and the task alone does not make it.
    encoder = {"name": "mlp", "hidden": 16, "output": 3, "dropout": 0.0}
    term = {
        **PUBLISHED,
        "normalise": arm != "published",
        "estimator": {"name": "infonce", "critic": {"name": "separable", "embedding": 16, **network}},
        "conditional": {"name": "cmi_knn_nwj", "classifier": network},
    }
    return {
        "seed": draw,
        "data": planted(family, rows, draw),
        "model": {
            "name": "late_fusion",
            **dict.fromkeys(MODALITIES, encoder),
            "fusion": {"name": "mlp", "width": 32, "dropout": 0.0},
        },
        "objective": {"terms": {} if arm == "none" else {"mimrl": term}, "strategy": {"name": "two_stage"}},
        "optim": {"lr": 3e-3, "lr_estimator": 3e-3},
        "train": TRAIN,
        "information": {"quantities": []},
    }
