"""A search from start to end: the study says what to run, Ray Tune runs it, observers are told.

The way from here to a gradient is in docs/architecture.md.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from threadpoolctl import threadpool_limits

from mmsa.config import with_overrides
from mmsa.data.catalogue import open_corpus
from mmsa.data.corpus import Corpus
from mmsa.data.rows import Rows, split_card
from mmsa.errors import ConfigError
from mmsa.experiment import RunConfig
from mmsa.interface import DataNature, Observer, Stage, counted
from mmsa.models.text_input import encode_text
from mmsa.provenance import running_code
from mmsa.search.costs import SearchBudget, Share
from mmsa.search.definition.idle import idle_lines, without_idle_coefficients
from mmsa.search.definition.misfits import refuse_misfits, refuse_unfit_finalists
from mmsa.search.definition.references import planned_references
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution.callback import StudyCallback
from mmsa.search.execution.cluster import Slots, num_fitting, ray_cluster, slots_for
from mmsa.search.execution.gang import trainable_for
from mmsa.search.execution.memory import ConcurrencyLimit, guessed_memory
from mmsa.search.execution.nodes import check_nodes, read_by_trials
from mmsa.search.execution.references import ReferencePoints
from mmsa.search.execution.stop_request import INTERRUPTED, StopRequest, stopped_by_signals
from mmsa.search.execution.trial import PEAK_MEMORY, SearchTrial, WorkerContext
from mmsa.search.execution.tune import StudySearcher, TuneScheduler, scheduler_of
from mmsa.search.execution.tune_trials import StudyTrials
from mmsa.search.honest import estimate_honestly
from mmsa.search.records import Cost
from mmsa.search.study.cards import study_card, trial_card
from mmsa.search.study.opening import prior_lines
from mmsa.search.study.study import Study
from mmsa.search.study.view import StudyView
from mmsa.search.summary import SearchSummary, ended, summary_of
from mmsa.training.constants import constant_metrics
from mmsa.training.cost import count_parameters
from mmsa.training.metrics import lopsided


@dataclass(frozen=True)
class SearchOptions:
    """How a launch runs, as opposed to what is searched.

    Attributes:
        runs: folder of all studies.
        storage: SQLAlchemy URL of the study; None for a journal file in its folder.
        trials: ``"N"`` in all or ``"+N"`` more; None for what the space file says.
        ray_address: of a running cluster; None starts one on this machine.
        cpus: that a new cluster offers; None for all of this machine.
        concurrency: most trials at once; None for as many as fit into the cluster.
        checkpoint_seconds: time between two checkpoints of a trial.
        collective_seconds: how long the processes of a trial wait for each other before one counts as lost.
        retry_failed: whether trials that diverged, ran out of memory or failed are tried again.
        budget: after which the search stops between epochs; the next launch continues what ran then.
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
    budget: SearchBudget = field(default_factory=SearchBudget)


@dataclass(frozen=True)
class StagePlan:
    """How the trials of a stage are run.

    Attributes:
        stage: of the study.
        base: the configuration that trials change.
        corpora: the raw one, and the one with text encoded for ``base``.
        cache: folder of encoded text.
        pauses: see ``WorkerContext``.
        idle: searched parameters without an effect, and why.
    """

    stage: Stage
    base: RunConfig
    corpora: tuple[Corpus, Corpus]
    cache: Path
    pauses: Collection[int] = ()
    idle: Mapping[str, str] = field(default_factory=dict)

    def trainable(self, slots: Slots, objective: str, options: SearchOptions) -> type[SearchTrial]:
        """The class that Tune runs trials with; puts the corpora into Ray's store, once a node."""
        context = WorkerContext(
            self.base,
            objective,
            self.cache,
            options.checkpoint_seconds,
            Path.cwd(),
            self.pauses,
            options.collective_seconds,
            running_code(),
        )
        return trainable_for(slots, self.corpora, context)

    def memory(self, study: StudyView) -> int:
        """Bytes of a trial's process, as measured in earlier launches; otherwise a guess."""
        trials = (trial for trial in study.trials() if trial.stage == self.stage)
        measured = max((trial.notes.get(PEAK_MEMORY, 0) for trial in trials), default=0)
        folds = getattr(self.base.data, "folds", None)
        models = 1 if folds is None or folds.mode == "sequential" else len(self.corpora[1].folds)
        weights = count_parameters(self.base, self.corpora[1], cache=self.cache)
        return measured or guessed_memory(models * weights)


def stage_plans(config: StudyConfig, raw: Corpus, cache: Path) -> list[StagePlan]:
    """The stages of a search, in order.

    Raises:
        ConfigError: for settings that do not fit each other or the data.
    """
    encoded = encode_text(raw, config.base.model, cache)
    outlook = refuse_misfits(config, encoded)
    pauses = config.build_scheduler().pauses
    plans = [StagePlan("search", config.base, (raw, encoded), cache, pauses, outlook.idle)]
    if config.search.finalists is not None:
        base = with_overrides(config.base, config.search.finalists.set)
        try:
            encoded = encode_text(raw, base.model, cache)
        except ConfigError as error:
            raise ConfigError("search.finalists.set", error.problems) from None
        refuse_unfit_finalists(config, base, encoded)
        plans.append(StagePlan("finalist", base, (raw, encoded), cache))
    return plans


def run_search(
    config: StudyConfig, options: SearchOptions, observers: Sequence[Observer], say: Callable[[str], None]
) -> SearchSummary:
    """Begin a study, or continue it, until it has the trials it was asked for.

    SIGINT and SIGTERM end the search between two steps, and the next launch continues what ran. A second
    signal ends it at once.

    Args:
        config: of the study.
        options: of this launch.
        observers: are told of every trial.
        say: takes a line for the user.

    Raises:
        DataError: for missing or damaged data.
        StudyError: for a study, cluster or node that cannot be used, or a study that cannot be written.
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
        constants = constant_metrics(*labels, raw.target)
        splits = [split_card(raw, "train"), split_card(raw, "valid")]
        nature = DataNature(
            raw.has_test,
            raw.target.kind != "multilabel" and len(raw["train"].modalities()) > 1,
        )
        study.bind_corpus(raw.digest, Rows.of(raw, "train", "valid"), constants, splits, nature)
        if options.trials is not None:
            study.extend(options.trials)
        if options.retry_failed:
            say(f"trials to be tried again: {study.retry_failed()}")
        before = ended(study)
        for line in prior_lines(study.priors, config.space):
            say(line)
        for line in without_effect:
            say(line)
        for line in study.tested:
            say(f"note: {line}")
        plan = planned_references(config.search.references, config.base, plans[0].corpora[1])
        say(_beginning(study))
        for line in plan.lines():
            say(line)
        stop = StopRequest(lambda: options.budget.spent(time.monotonic() - started, _spent(study)))
        references = ReferencePoints(study, plan, plans[0].corpora[1], observers)
        _start(observers, study)
        try:
            references.fit_ridges()
            if (study.remaining or references.due) and not stop.stop_all():
                with ray_cluster(options.ray_address, options.cpus), stopped_by_signals(stop):
                    if options.ray_address is not None:
                        check_nodes(say, options.runs, read_by_trials(config.base))
                    for stage_plan in plans:
                        beside = references if stage_plan.stage == "search" else None
                        outstanding = study.outstanding(stage_plan.stage) + (beside.due if beside else 0)
                        if outstanding and not stop.stop_all():
                            _run_trials(study, stage_plan, options, observers, stop, say, beside)
            if stop.error is None:
                references.compare()
                honest = estimate_honestly(study, study.folder, plans[0].corpora[1])
        finally:
            for observer in observers:
                observer.close()
        if stop.error is not None:
            raise stop.error
        summary = summary_of(study, options.runs, options.storage, before, time.monotonic() - started)
        return replace(
            summary,
            honest=honest,
            presence=tuple(references.best_by_presence()),
            spent=stop.spent,
            interrupted=stop.reason == INTERRUPTED,
            gave_up="" if stop.reason == INTERRUPTED else stop.reason,
            idle=frozenset(plans[0].idle),
            notes=(*study.tested, *lopsided(raw["valid"].labels, raw.target, "valid")),
        )


def _spent(study: Study) -> Cost:
    """What counts against a budget: the trials, and the trainings of reference points."""
    trained = [point for point in study.references() if point.trained]
    return study.cost() + Cost(
        seconds=sum(point.seconds for point in trained),
        gpu_seconds=sum(point.gpu_seconds for point in trained),
    )


def _beginning(study: Study) -> str:
    counts = study.counts()
    running = counts.pop("running", 0)
    if not counts and not running:
        return f"study {study.name}: {counted(study.asked, 'trial')}"
    ended = f"{study.finished} of {study.asked} trials have ended"
    if study.finished > study.asked:
        ended = f"{study.finished} trials have ended, and {study.asked} were asked for"
    line = f"study {study.name}: continues; {ended}"
    if running == 1:
        return f"{line}, 1 was interrupted and goes on from its checkpoint"
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
    references: ReferencePoints | None = None,
) -> None:
    scratch = (study.folder / "ray").resolve()  # for Tune's own files, which are useless afterwards
    objective = study.config.search.objectives[0].metric
    slots = slots_for(study.config.resources, needs_gpu=plan.base.train.device == "cuda")
    for note in slots.notes:
        say(f"note: {note}")
    study.share = Share(slots.workers * slots.cpus, slots.workers * slots.gpus)
    limit = ConcurrencyLimit(partial(num_fitting, slots), plan.memory(study), say)
    scheduler = scheduler_of(study, plan.stage)
    callback = StudyCallback(study, scheduler, limit, observers, stop, references)
    searcher = StudySearcher(study, plan.stage, scheduler, limit, stop, callback.replace, references)
    outstanding = study.outstanding(plan.stage) + (references.due if references else 0)
    most = min(options.concurrency or slots.count, slots.count, outstanding)
    shutil.rmtree(scratch, ignore_errors=True)
    with _only_new_garbage(), threadpool_limits(1):  # the cores belong to the trials
        tune.run(
            plan.trainable(slots, objective, options),
            num_samples=-1,
            search_alg=StudyTrials(searcher, most),
            scheduler=TuneScheduler(scheduler),
            callbacks=[callback],
            stop=stop,
            max_failures=0,  # the callback takes care of a trial whose process died
            reuse_actors=True,
            **_tune_settings(slots, scratch),
        )
    shutil.rmtree(scratch, ignore_errors=True)
    # After a stop, paused trials stay paused: the next launch may still promote them.
    if not stop.stop_all():
        callback.end_paused()


@contextmanager
def _only_new_garbage() -> Iterator[None]:
    """Spare garbage collections the look at everything that exists by now.

    Modules and the study's records are never garbage, and looking at them took a tenth of the driver's time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _tune_settings(slots: Slots, scratch: Path) -> Mapping[str, Any]:
    return {
        "resources_per_trial": tune.PlacementGroupFactory(slots.bundles()),
        "storage_path": str(scratch),
        "name": "tune",
        "trial_name_creator": _name,
        "trial_dirname_creator": _name,
        "raise_on_failed_trial": False,
        "verbose": 0,
    }


def _name(trial: tune.experiment.Trial) -> str:
    given = trial.config["assignment"]
    return given.reference.replace("/", "-") or f"trial-{given.number}"
