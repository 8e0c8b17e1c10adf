"""The honest value of a search by folds: computed when it ends, kept in the study's folder, shown after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus
from mmsa.interface import VALID
from mmsa.search.study.view import StudyView
from mmsa.training.constants import Constant, short_of
from mmsa.training.folded import HELD_OUT
from mmsa.training.honest import HonestEstimate, honest_estimate
from mmsa.training.metrics import metric_names

_FILE = "honest.json"


def estimate_honestly(study: StudyView, folder: Path, corpus: Corpus) -> HonestEstimate | None:
    """The value of what the search chooses, by its first objective, and keep it; None where there is none.

    Trials that were stopped early took part in the choice, too, but were never near to being chosen: they
    are left out, as are trials of an earlier version that kept no predictions.

    Args:
        study: that has ended, or stands still.
        folder: of the study.
        corpus: with folds, that its trials are trained on.
    """
    objective, best = study.config.search.objectives[0], study.best()
    metric = objective.metric.removeprefix(VALID)
    if not corpus.folds or best is None or metric not in metric_names(corpus.suite):
        return None
    runs = list(_predictions(study, folder, corpus))
    found = honest_estimate(corpus, runs, metric, minimize=objective.direction == "minimize")
    if found is not None:
        (folder / _FILE).write_text(json.dumps(found.to_dict(), indent=2) + "\n", encoding="utf-8")
    return found


def _predictions(study: StudyView, folder: Path, corpus: Corpus) -> Iterator[NDArray[np.float32]]:
    best = study.best()
    if best is None:
        return
    for trial in study.completed(best.stage):
        with suppress(OSError, ValueError, EOFError):  # one that is not there, or not whole
            kept = np.load(folder / "trials" / str(trial.number) / HELD_OUT, allow_pickle=False)
            if kept.shape[1:3] == (corpus.repeats, len(corpus["valid"])):
                yield kept


def read_estimate(folder: Path) -> HonestEstimate | None:
    """What ``estimate_honestly`` kept in the folder of a study; None without any."""
    with suppress(OSError, ValueError, TypeError):
        return HonestEstimate.from_dict(json.loads((folder / _FILE).read_text(encoding="utf-8")))
    return None


def honest_lines(found: HonestEstimate | None, constant: Constant | None) -> list[str]:
    """Lines for people; none without an estimate.

    Args:
        found: the estimate.
        constant: the best constant predictor by its metric; None if unknown.
    """
    if found is None:
        return []
    lines = [f"honest:   {found.text()}"]
    if constant is not None:
        worse_end = found.high if found.value > found.naive else found.low
        verdict = short_of(found.metric, found.value, worse_end, constant, level=90)
        lines += [f"          what this search chooses is {verdict}"] if verdict else []
    return lines
