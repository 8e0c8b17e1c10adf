"""A search from start to end: the study says what to run, Ray Tune runs it, observers are told."""

from __future__ import annotations

import gc
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from threadpoolctl import threadpool_limits

from mmsa.data import open_corpus
from mmsa.data.rows import Rows
from mmsa.masking import masked
from mmsa.search.costs import Budget, Share
from mmsa.search.definition.idle import idle_lines, without_idle_coefficients
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution.callback import StudyCallback
from mmsa.search.execution.cluster import Slots, ray_cluster, room_for, slots
from mmsa.search.execution.memory import Room
from mmsa.search.execution.searcher import StudySearcher
from mmsa.search.execution.stages import StagePlan, stage_plans
from mmsa.search.execution.stop_request import INTERRUPTED, StopRequest, stopped_by_signals
from mmsa.search.execution.tune_scheduler import TuneScheduler, scheduler_of
from mmsa.search.execution.tune_trials import StudyTrials
from mmsa.search.records import TrialRecord
from mmsa.search.stops import STANDARD_ERRORS
from mmsa.search.study.cards import shown, study_card, trial_card
from mmsa.search.study.prior_studies import covered
from mmsa.search.study.study import Study
from mmsa.search.summary import BestTrial, SearchSummary
from mmsa.tracking import VALID, Observer, Outcome
from mmsa.training.constants import constant_metrics
from mmsa.training.metrics import lopsided


@dataclass(frozen=True)
class SearchOptions:
    """How a launch runs, as opposed to what is searched.

    Attributes:
        runs: folder of all studies.
        storage: SQLAlchemy URL of the study; a journal file in its folder without one.
        trials: ``"N"`` in all or ``"+N"`` more; what the space file says without it.
        ray_address: of a running cluster; one of its own on this machine without it.
        cpus: that a cluster of its own offers; all without it.
        concurrency: most trials at once; as many as the cluster has room for without it.
        retry_failed: whether trials that diverged, ran out of memory or failed are tried again.
        budget: after which the search stops between epochs; what runs then goes on with the next launch.
        checkpoint_seconds: time between two checkpoints of a trial.
        collective_seconds: how long the processes of a trial wait for each other before one counts as lost.
    """

    runs: Path
    storage: str | None = None
    trials: str | None = None
    ray_address: str | None = None
    cpus: int | None = None
    concurrency: int | None = None
    checkpoint_seconds: float = 5.0
    collective_seconds: float = 300.0
    retry_failed: bool = False
    budget: Budget = field(default_factory=Budget)


def run_search(
    config: StudyConfig, options: SearchOptions, observers: Sequence[Observer], say: Callable[[str], None]
) -> SearchSummary:
    """Begin a study, or continue it, until it has the trials it was asked for.

    SIGINT and SIGTERM end the search between two steps; what runs is continued by the next launch. The second
    one ends it at once.

    Args:
        observers: are told of every trial.
        say: takes a line for the user.

    Raises:
        DataError: for data that are missing or damaged.
        StudyError: for a study or a cluster that cannot be used, or a study that cannot be written any more.
        ConfigError: for settings that do not fit each other or the data.
    """
    started = time.monotonic()
    raw = open_corpus(config.base.data, ("train", "valid"))
    cache = (options.runs / "cache").resolve()
    plans = stage_plans(config, raw, cache)
    without_effect = idle_lines(plans[0].idle, config.space)
    config = without_idle_coefficients(config, plans[0].idle)
    with Study.open(config, options.runs, options.storage) as study:
        labels = raw["train"].labels, raw["valid"].labels
        study.bind_corpus(raw.digest, Rows.of(raw, "train", "valid"), constant_metrics(*labels, raw.suite))
        if options.trials is not None:
            study.extend(options.trials)
        if options.retry_failed:
            say(f"trials to be tried again: {study.retry_failed()}")
        ended_before = _ended(study)
        for line in covered(study.priors, config.space):
            say(line)
        for line in without_effect:
            say(line)
        say(_beginning(study))
        stop = StopRequest(lambda: options.budget.spent(time.monotonic() - started, study.cost()))
        _start(observers, study)
        try:
            if study.remaining and not stop.stop_all():
                with ray_cluster(options.ray_address, options.cpus), stopped_by_signals(stop):
                    for plan in plans:
                        if study.outstanding(plan.stage) and not stop.stop_all():
                            _run_trials(study, plan, options, observers, stop, say)
        finally:
            for observer in observers:
                observer.close()
        if stop.error is not None:
            raise stop.error
        summary = _summary(study, options, ended_before, time.monotonic() - started, stop)
        return replace(
            summary,
            idle=frozenset(plans[0].idle),
            notes=tuple(lopsided(raw["valid"].labels, raw.suite, "valid")),
        )


def _beginning(study: Study) -> str:
    counts = study.counts()
    running = counts.pop("running", 0)
    if not counts and not running:
        return f"study {study.name}: {study.asked} trials"
    line = f"study {study.name}: continues; {study.finished} of {study.asked} trials have ended"
    return line + (f", {running} were interrupted and go on from their checkpoints" if running else "")


def _start(observers: Sequence[Observer], study: Study) -> None:
    earlier = [trial_card(study, trial) for trial in study.trials() if trial.outcome != "running"]
    for observer in observers:
        observer.start_study(study_card(study), earlier)


def _run_trials(
    study: Study,
    plan: StagePlan,
    options: SearchOptions,
    observers: Sequence[Observer],
    stop: StopRequest,
    say: Callable[[str], None],
) -> None:
    scratch = (study.folder / "ray").resolve()  # for Tune's own files, of no use afterwards
    objective = study.config.search.objectives[0].metric
    slot = slots(study.config.resources, needs_gpu=plan.base.train.device == "cuda")
    for note in slot.notes:
        say(f"note: {note}")
    study.share = Share(slot.workers * slot.cpus, slot.workers * slot.gpus)
    room = Room(partial(room_for, slot), plan.memory(study), say)
    scheduler = scheduler_of(study, plan.stage)
    callback = StudyCallback(study, scheduler, room, observers, stop)
    searcher = StudySearcher(study, plan.stage, scheduler, room, stop, callback.replace)
    most = min(options.concurrency or slot.count, slot.count, study.outstanding(plan.stage))
    shutil.rmtree(scratch, ignore_errors=True)
    with _only_new_garbage(), threadpool_limits(1):  # the cores are the trials'
        tune.run(
            plan.trainable(slot, objective, options.checkpoint_seconds, options.collective_seconds),
            num_samples=-1,
            search_alg=StudyTrials(searcher, most),
            scheduler=TuneScheduler(scheduler),
            callbacks=[callback],
            stop=stop,
            max_failures=0,  # the callback sees to a trial whose process died
            reuse_actors=True,
            **_tune_settings(slot, scratch),
        )
    shutil.rmtree(scratch, ignore_errors=True)
    if not stop.stop_all():
        callback.end_paused()


@contextmanager
def _only_new_garbage() -> Iterator[None]:
    """Leave modules, and all that is known by now, out of collections: a tenth of the driver's time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _tune_settings(slot: Slots, scratch: Path) -> Mapping[str, Any]:
    return {
        "resources_per_trial": tune.PlacementGroupFactory(slot.bundles()),
        "storage_path": str(scratch),
        "name": "tune",
        "trial_name_creator": _name,
        "trial_dirname_creator": _name,
        "raise_on_failed_trial": False,
        "verbose": 0,
    }


def _name(trial: tune.experiment.Trial) -> str:
    return f"trial-{trial.config['assignment'].number}"


def _summary(
    study: Study, options: SearchOptions, before: Counter[Outcome], seconds: float, stop: StopRequest
) -> SearchSummary:
    counts = _ended(study)
    best, defaults, searched = study.best(), study.defaults(), study.completed("search")
    metric = study.config.search.objectives[0].metric
    return SearchSummary(
        study=study.name,
        runs=options.runs,
        storage=options.storage and masked(options.storage),
        counts=counts,
        num_trials=study.asked,
        launched=counts - before,
        seconds=seconds,
        metric=metric,
        constant=study.constant(metric),
        best=None if best is None else _best(study, best),
        searched=_best(study, searched[0]) if best and best.stage == "finalist" and searched else None,
        stopped=study.stopped,
        default=defaults.values[0] if defaults and defaults.values else None,
        default_number=defaults.number if defaults else None,
        cost=study.cost(),
        metrics=tuple(objective.metric for objective in study.config.search.objectives),
        front=tuple((trial.number, trial.values) for trial in study.front()),
        versions=_versions(study),
        spent=stop.spent,
        interrupted=stop.reason == INTERRUPTED,
        gave_up="" if stop.reason == INTERRUPTED else stop.reason,
    )


def _best(study: Study, trial: TrialRecord) -> BestTrial:
    first = study.config.search.objectives[0].metric
    return BestTrial(
        trial.number,
        trial.values[0],
        shown(study, trial),
        trial.finalist_of,
        trial.information,
        study.broken(trial),
        {name: m for name, m in trial.metrics.items() if name.startswith(VALID) and name != first},
        trial.best_epoch,
        trial.notes.get(STANDARD_ERRORS, {}).get(first),
    )


def _ended(study: Study) -> Counter[Outcome]:
    return Counter({outcome: n for outcome, n in study.counts().items() if outcome != "running"})


def _versions(study: Study) -> tuple[str, ...]:
    """What was edited of the space since the study was begun, a line for each launch that brought an edit."""
    superseded = sum(trial.superseded for trial in study.trials())
    lines = [f"version {v.number} ({v.date}): {'; '.join(v.changes)}" for v in study.space_versions[1:]]
    return (*lines, f"{superseded} trials do not lie in the space as it is now") if lines else ()
