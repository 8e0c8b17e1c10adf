"""Earlier studies, as a new one remembers them: their best points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmsa.errors import StudyError
from mmsa.search.samplers.priors import Density, Point
from mmsa.search.space.space import Space
from mmsa.search.study.view import StudyView, read_study

BEST_PART = 0.25
"""The part of a study's completed trials that is its knowledge; at least ``FEWEST_POINTS``."""
FEWEST_POINTS = 4


def read_priors(
    names: Sequence[str], runs: Path, storage: str | None, space: Space
) -> dict[str, list[Point]]:
    """The best points of each of these studies.

    Raises:
        StudyError: for a study that is not there, has completed no trial, or searched other parameters only.
    """
    points = {name: best_points(read_study(name, runs, storage)) for name in names}
    for name, best in points.items():
        if not best:
            raise StudyError(f"search.priors: study {name!r} has no completed trial to learn from")
        if not Density(space, best).covered:
            searched = ", ".join(sorted({path for point in best for path in point}))
            raise StudyError(
                f"search.priors: study {name!r} searched none of the parameters of this space "
                f"(it searched {searched or 'nothing'}); name another study"
            )
    return points


def best_points(study: StudyView) -> list[Point]:
    """The points of a study's best searched trials, best first: feasible ones, where there are any."""
    completed = study.completed_points()
    completed = [trial for trial in completed if not trial.violation] or completed
    count = max(FEWEST_POINTS, math.ceil(BEST_PART * len(completed)))
    return [trial.overrides for trial in completed[:count]]


def covered(points: Mapping[str, Sequence[Point]], space: Space) -> list[str]:
    """A line for each study: which parameters of the space it knows."""
    lines = []
    for name, best in points.items():
        known = Density(space, best).covered
        unknown = [path for path in space.parameters if path not in known]
        rest = f"; not of {', '.join(unknown)}" if unknown else ""
        lines.append(f"prior {name}: {len(best)} points that tell of {', '.join(known)}{rest}")
    return lines
