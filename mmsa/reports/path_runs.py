"""Runs of the points between the defaults and the best trial, which a surrogate only guesses at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from mmsa.errors import StudyError, TrainingDiverged
from mmsa.interface import Scalar, decimals
from mmsa.models.text_input import encode_text
from mmsa.reports.study_data import open_as_searched
from mmsa.reports.surrogate import Step, moved
from mmsa.search.corpora import Corpora
from mmsa.search.records import Suggestion
from mmsa.search.study.view import StudyView
from mmsa.training.loop import run

PATH_RUNS = "path_runs.jsonl"
"""The file in a study's folder with the points that were run, one a line."""

Points = Sequence[Mapping[str, Scalar]]


def points_along(
    start: Mapping[str, Scalar], end: Mapping[str, Scalar], steps: Sequence[Step]
) -> list[dict[str, Scalar]]:
    """The point after each step; the last one is the end."""
    here, found = dict(start), []
    for step in steps:
        here = moved(here, end, step.paths)
        found.append(here)
    return found


def known_runs(
    runs: Path,
    study: StudyView,
    start: Mapping[str, Scalar],
    end: Mapping[str, Scalar],
    steps: Sequence[Step],
) -> dict[int, float]:
    """The first objective of the points that were run, by number of the step.

    Raises:
        StudyError: for a file that is damaged.
    """
    by_point = _read(runs / study.name / PATH_RUNS)
    along = points_along(start, end, steps)
    basis = _basis(study)
    return {
        number: by_point[key]
        for number, point in enumerate(along, 1)
        if (key := _key(basis, point)) in by_point
    }


def run_steps(
    study: StudyView,
    runs: Path,
    start: Mapping[str, Scalar],
    end: Mapping[str, Scalar],
    steps: Sequence[Step],
    say: Callable[[str], None],
) -> None:
    """Train the point after each of the steps, as a trial of the search would, and keep what came of it.

    Points that were run before are left out, and so are those that a constraint of the space forbids. The
    study itself gets no trial: its sampler did not choose them.

    Args:
        study: of the points.
        runs: its folder of runs.
        start: the point before the first step.
        end: the point after the last of all steps.
        steps: those to run, from the first one on.
        say: is given lines of progress.

    Raises:
        DataError: when the data are missing, or others than the study saw.
    """
    path, config = runs / study.name / PATH_RUNS, study.space_versions[-1].config
    known, metric = _read(path), config.search.objectives[0].metric
    cache, base = runs / "cache", config.base
    raw = open_as_searched(study.name, base.data, study.attributes.get("corpus_digest"))
    corpora = Corpora(raw, encode_text(raw, base.model, cache), base, cache)
    for number, point in enumerate(points_along(start, end, steps), 1):
        name = f"step {number} ({steps[number - 1].choice})"
        if (key := _key(_basis(study), point)) in known:
            say(f"{name}: run before, {metric} {decimals(known[key])}")
            continue
        if not config.allows(point):
            say(f"{name}: not run, a constraint of the space forbids this point")
            continue
        version = study.space_versions[-1].number
        run_config = study.trial_config(Suggestion(-1, config.space.with_ties(point), version=version))
        try:
            result = run(run_config, corpora.of(run_config), cache=cache)
        except TrainingDiverged as error:
            say(f"{name}: diverged, {error}")
            continue
        value = result.metrics[metric]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "metric": metric, "value": value}) + "\n")
        say(f"{name}: {metric} {decimals(value)}")


def _basis(study: StudyView) -> str:
    """What makes equal points different runs: all else in the base, and the data."""
    return json.dumps(
        [study.config.base.model_dump(mode="json"), study.attributes.get("corpus_digest")], sort_keys=True
    )


def _key(basis: str, point: Mapping[str, Scalar]) -> str:
    return sha256((basis + json.dumps(dict(sorted(point.items())))).encode()).hexdigest()


def _read(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {str(entry["key"]): float(entry["value"]) for entry in entries}
    except (ValueError, LookupError, TypeError) as error:
        raise StudyError(f"{path} is damaged ({error}); remove it, and run the steps again") from error
