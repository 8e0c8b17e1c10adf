"""Coefficients of information by level, as shares of all that a trial asks for.

A coefficient by itself says little: one total can be divided in many ways. So what multiplies an information
in the loss is divided by the sum over all coefficients of the trial.

Shapes: N trials, K coefficients, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmsa.data.corpus import MODALITIES
from mmsa.interface import Scalar
from mmsa.reports.naming import KINDS, Kind, best_quarter, rewarded_kind
from mmsa.reports.points import Floats
from mmsa.search.definition.levels import SearchedCoefficient, searched_coefficients
from mmsa.search.records import TrialRecord
from mmsa.search.study.view import StudyView
from mmsa.seeding import derive_seed

_RESAMPLES, _TAIL = 500, 0.05


@dataclass(frozen=True)
class Preference:
    """The share of one coefficient in the best quarter of the trials, and in the others.

    Attributes:
        name: term and coefficient.
        level: ``input`` or ``fusion``.
        kind: of information.
        raises: the information, in formulas.
        default: its share in the base; 0 without any.
        best: its share in the best trial.
        quarter: mean share in the best quarter.
        low: lower end of the 90 % interval of that mean over resampled trials.
        high: upper end.
        others: mean share in the other trials.
    """

    name: str
    level: str
    kind: str
    raises: str
    default: float
    best: float
    quarter: float
    low: float
    high: float
    others: float


@dataclass(frozen=True)
class Preferences:
    """What a study says of its coefficients.

    Attributes:
        rows: one for each coefficient that can act.
        trials: how many trials have any coefficient above 0.
        best_quarter: how many of them are the best quarter; intervals over a single one say nothing.
        rewarded: the kind of which the best quarter has surely more than the others; None if it is silent.
    """

    rows: Sequence[Preference]
    trials: int
    best_quarter: int
    rewarded: Kind | None


def preferences(study: StudyView, completed: Sequence[TrialRecord]) -> Preferences | None:
    """The shares of all coefficients of information; None without coefficients, or trials that have some.

    Args:
        study: of the trials.
        completed: from the best to the worst.
    """
    config = study.space_versions[-1].config
    known = getattr(config.base.data, "modalities", MODALITIES)
    found = searched_coefficients(config, known)
    points = [study.point(trial) for trial in completed]
    amount_NK = np.array([[_amount(c, point) for c in found] for point in points]).reshape(
        len(points), len(found)
    )
    used_N = amount_NK.sum(1) > 0 if found else np.zeros(0, bool)
    if not found or not used_N.any():
        return None
    share_NK = _shares(amount_NK[used_N])
    # The place stands for the error, since only the order counts; equal results have one place.
    results = [(trial.stage, trial.violation, trial.values) for trial in completed]
    changed = [False, *(before != after for before, after in pairwise(results))]
    place_N = np.cumsum(changed)[used_N].astype(np.float64)
    best_N = best_quarter(place_N)
    default_K = _shares(np.array([[_amount(c, config.complete({})) for c in found]]))[0]
    best_K = share_NK[0] if used_N[0] else np.zeros(len(found))
    generator = np.random.default_rng(derive_seed("preferences"))
    drawn_RQ = generator.integers(best_N.sum(), size=(_RESAMPLES, int(best_N.sum())))
    low_K, high_K = np.quantile(share_NK[best_N][drawn_RQ].mean(1), (_TAIL, 1 - _TAIL), axis=0)
    others_K = share_NK[~best_N].mean(0) if (~best_N).any() else np.full(len(found), np.nan)
    rows = [
        Preference(
            f"{c.term}.{c.given.path}",
            c.given.level,
            c.given.kind,
            c.cells()[-1],
            *(
                float(of_K[k])
                for of_K in (default_K, best_K, share_NK[best_N].mean(0), low_K, high_K, others_K)
            ),
        )
        for k, c in enumerate(found)
    ]
    of_kind_NK = np.column_stack(
        [share_NK[:, [c.given.kind == kind for c in found]].sum(1) for kind in KINDS]
    )
    return Preferences(rows, int(used_N.sum()), int(best_N.sum()), rewarded_kind(of_kind_NK, place_N))


def _amount(coefficient: SearchedCoefficient, point: Mapping[str, Scalar]) -> float:
    """What multiplies the information in the loss: the weight of the term times the coefficient."""
    weight = float(point.get(coefficient.weight_path, coefficient.weight))
    if coefficient.given.path == "weight":
        return weight * coefficient.given.value
    return weight * float(point.get(coefficient.path, coefficient.given.value))


def _shares(amount_NK: Floats) -> Floats:
    total_N1 = amount_NK.sum(1, keepdims=True)
    shares: Floats = np.divide(amount_NK, total_N1, out=np.zeros_like(amount_NK), where=total_N1 > 0)
    return shares
