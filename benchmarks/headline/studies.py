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

from itertools import combinations
from typing import Any, Literal, get_args

from compositions import planted

from mmsa.config import parse
from mmsa.data.corpus import MODALITIES
from mmsa.search.definition.study_config import StudyConfig

Arm = Literal["searched", "multiplier", "published", "none"]
ARMS: tuple[Arm, ...] = get_args(Arm)
SIZES = (686, 2000)
TRIALS, STARTUP = 48, 16
RATES = (3e-3, 3e-2)
TERM = "objective.terms.mimrl"
GROUP = "levels"
"""Name of the group of shares."""

_PAIRS = [f"{x}_{y}" for x, y in combinations(MODALITIES, 2)]
_WITH_TEXT = [pair for pair in _PAIRS if pair.startswith("text")]
PUBLISHED = {
    "fusion": dict.fromkeys(MODALITIES, 0.01),
    "invariant": {pair: 0.01 if pair in _WITH_TEXT else 0.0 for pair in _PAIRS},
    "specific": dict.fromkeys(MODALITIES, 0.01),
    "complementary": {pair: 0.04 if pair in _WITH_TEXT else 0.0 for pair in _PAIRS},
}
LEVELS = {level: [f"{TERM}.{level}.{member}" for member in of] for level, of in PUBLISHED.items()}
"""The paths of the coefficients of each level."""
_PUBLISHED_TOTAL = sum(sum(of.values()) for of in PUBLISHED.values())
_LOW, _HIGH, _ZERO = 0.05, 2.0, 0.1


def study_name(arm: Arm, family: str, rows: int, draw: int) -> str:
    return f"{family}-{rows}-{draw}-{arm}"


def study(arm: Arm, family: str, rows: int, draw: int, trials: int) -> StudyConfig:
    """The search of an arm."""
    values = {
        "study": study_name(arm, family, rows, draw),
        "base": _base(arm, family, rows, draw),
        "search": {
            "parameters": {"optim.lr": _log(*RATES), **_parameters(arm)},
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


def _parameters(arm: Arm) -> dict[str, Any]:
    if arm == "searched":
        paths = [path for of in LEVELS.values() for path in of]
        return {GROUP: {"type": "shares", "of": paths, "total": _log(_LOW, _HIGH, zero=_ZERO), "zero": 0.2}}
    if arm == "multiplier":
        low, high = _LOW / _PUBLISHED_TOTAL, _HIGH / _PUBLISHED_TOTAL
        return {f"{TERM}.weight": _log(low, high, zero=_ZERO)}
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
        "train": {
            "epochs": 20,
            "batch_size": 128,
            "patience": 3,  # trials are at their best after 3 to 12 epochs, and then learn rows by heart
            "device": "cpu",
            "threads": 1,
        },
        "information": {"quantities": []},
    }
