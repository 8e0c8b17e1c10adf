"""Train random points of the spaces once, and keep their learning curves: what ``replay.py`` searches.

Each run is trained to its last epoch, without early stopping. A line of ``<task>.jsonl`` is a trial; trials
that are there stay, so that the recording can be interrupted and gone on with.

    MMSA_DATA=<folder with mosi_utterance.npz> python benchmarks/search_efficiency/record.py [--trials 400]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import optuna
from tasks import EPOCHS, METRIC, TASKS, path_of, recorded, study_of

from mmsa.config import with_overrides
from mmsa.data import Corpus
from mmsa.errors import TrainingDiverged
from mmsa.interface import Scalar
from mmsa.search.corpora import prepare
from mmsa.training import epochs

_corpus: dict[str, Corpus] = {}  # of this process, by task


def points_of(task: str, trials: int) -> list[dict[str, Scalar]]:
    """Independent uniform draws; more of them begin with fewer."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = study_of(task, trials).space
    return [space.suggest(study.ask()) for _ in range(trials)]


def train(task: str, cache: Path, point: Mapping[str, Scalar]) -> str:
    """The line of a trial."""
    base = study_of(task, 1).base
    if task not in _corpus:
        _corpus[task] = prepare(base, cache)
    whole = {"train.patience": EPOCHS, "information.quantities": []}
    run = epochs(with_overrides(base, {**point, **whole}), _corpus[task], cache=cache)
    values: list[float] = []
    started = time.process_time()
    with suppress(TrainingDiverged):
        values.extend(round(progress.metrics[METRIC], 5) for progress in run)
    seconds = (time.process_time() - started) / max(1, len(values))
    return json.dumps({"point": point, "values": values, "seconds": round(seconds, 4)})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--trials", type=int, default=400, help="of each task")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as cache,
        multiprocessing.get_context("spawn").Pool(args.processes) as pool,
    ):
        for task in args.tasks:
            points = points_of(task, args.trials)[len(recorded(task)) :]
            with path_of(task).open("a", encoding="utf-8") as file:
                for line in pool.imap(partial(train, task, Path(cache)), points):
                    print(line, file=file, flush=True)
            print(f"{task}: {len(recorded(task))} trials", flush=True)


if __name__ == "__main__":
    main()
