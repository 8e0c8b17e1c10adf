"""What a search would do and cost, without doing it: ``--dry-run``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna

from mmsa.config import dump_yaml, with_overrides
from mmsa.data.corpus import MODALITIES, Corpus
from mmsa.data.inputs import InputSpec
from mmsa.errors import MmsaError, StudyError
from mmsa.interface import Scalar, short
from mmsa.objectives.objective import warnings
from mmsa.search.corpora import prepare
from mmsa.search.costs import GIB, Share, machine_memory
from mmsa.search.definition.idle import idle_lines, without_idle_coefficients
from mmsa.search.definition.levels import level_lines
from mmsa.search.definition.misfits import Outlook, refuse_misfits
from mmsa.search.definition.references import ReferencePlan, planned_references
from mmsa.search.definition.reported import reported_lines
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.schedulers.base import RungSettings
from mmsa.search.space.space import setting_of
from mmsa.search.study.opening import extended, target_of
from mmsa.search.study.view import StudyView, read_study
from mmsa.training.cost import count_parameters, count_steps, time_step
from mmsa.training.metrics import lopsided

_NUM_SAMPLES = 3
_PAIRED = {*MODALITIES, "to"}  # words of names such as text_vision and vision_to_audio
_CENTURY = 100 * 365.25 * 86400


def dry_run(
    config: StudyConfig, runs: Path, storage: str | None = None, trials: str | None = None
) -> Iterator[str]:
    """Paragraphs to print, each as soon as it is known: samples and cost first, the base last.

    Writes nothing but the cache of encoded text.

    Args:
        config: of the study.
        runs: folder of all studies.
        storage: URL of the study's database; an existing study tells what its trials took.
        trials: how many would be asked for, as ``--trials`` has it; None for as many as so far.

    Raises:
        StudyError: for ``trials`` that are no number of trials.
        DataError: for missing or damaged data, after the paragraphs that do not need them.
        ConfigError: for settings that do not fit each other or the data, at the same point.
    """
    study: StudyView | None = None
    with suppress(StudyError):  # which has not begun
        study = read_study(config.study, runs, storage)
    tied, asked = config.space.tied(), _asked(config, study, trials)
    yield f"study {config.study}: {asked:,} trial{'' if asked == 1 else 's'}, on {config.base.data.name}"
    yield f"searched parameters: {len(config.space.parameters) - len(tied)}"
    yield from _sampled(config)
    try:
        corpus = prepare(config.base, runs / "cache")
        yield from _with_data(config, corpus, runs / "cache", study, asked)
    except MmsaError:  # which comes last, after everything that can be said in spite of it
        yield from _without_data(config, MODALITIES)
        raise
    yield from _without_data(config, InputSpec.of(corpus).modalities())


def _sampled(config: StudyConfig) -> Iterator[str]:
    if not config.space.parameters:
        yield "nothing is searched: each trial is as the base"
        return
    for position, point in enumerate(samples(config), start=1):
        divided = [f"# {division.text(name)}\n" for name, division in config.space.divisions(point).items()]
        text = "".join([*divided, dump_yaml(point)])
        yield f"sampled configuration {position}:\n\n{_indented(text)}\n"


def _asked(config: StudyConfig, study: StudyView | None, trials: str | None) -> int:
    """How many trials a search would have."""
    target = target_of({} if study is None else study.attributes, config)
    remaining = 0 if study is None else study.remaining
    return (target if trials is None else extended(target, trials, remaining)).asked


def _with_data(
    config: StudyConfig, corpus: Corpus, cache: Path, study: StudyView | None, asked: int
) -> Iterator[str]:
    """What the trials would cost and have cost, then what the data say about the space."""
    outlook = refuse_misfits(config, corpus)
    without_idle_coefficients(config, outlook.idle)  # which the search itself would refuse
    base, batch_size = outlook.base, config.base.train.batch_size
    yield f"data: {corpus.name}, {len(corpus['train'])} rows to train on, {len(corpus['valid'])} to validate"
    parameters = base.num_parameters if base else count_parameters(config.base, corpus, cache=cache)
    yield f"trained parameters: {parameters:,} (base configuration)"
    share, needed = Share.of(config.resources), base.memory(batch_size) if base else 0
    yield from _memory(outlook, needed)
    if needed > machine_memory():
        yield f"not timed: this machine has {machine_memory() / GIB:.3g} GiB of memory"
    else:
        timed = _timed(config, corpus, cache)
        yield _cost(timed, asked, share, config)
        yield from _finalists(config, cache, share)
        plan = planned_references(config.search.references, config.base, corpus)
        yield from _references(plan, timed, share)
    if study is not None:
        yield from _measured(study, share)
    yield from idle_lines(outlook.idle, config.space)
    yield from level_lines(config, InputSpec.of(corpus).modalities())
    yield from (f"warning: {line}" for line in lopsided(corpus["valid"].labels, corpus.target, "valid"))


def _without_data(config: StudyConfig, present: Collection[str]) -> Iterator[str]:
    """What the space file says by itself, the base configuration last."""
    yield from (f"warning: {warning}" for warning in warnings(config.base.objective))
    yield from reported_lines(config.reported)
    yield from (f"tied: {path} is {parameter.same_as}" for path, parameter in config.space.tied().items())
    yield from (shares.text(name) for name, (shares, _) in config.space.groups.items())
    if chance := config.sampler.left_to_chance(config.space):
        paths = sorted({setting_of(name) for name in chance})
        yield f"left to chance, since the sampler cannot model them: {', '.join(paths)}"
    absent = [name for name in MODALITIES if name not in present]
    of_absent = f", nor what is about {' and '.join(absent)}, which these data lack" if absent else ""
    used = _used(config.base.model_dump(), absent)
    yield (
        f"base configuration (what is not set is not shown{of_absent}; every setting is in best.yaml of "
        f"the study):\n\n{_indented(dump_yaml(used))}\n"
    )


def _used(values: Mapping[str, Any], absent: Collection[str]) -> dict[str, Any]:
    """The settings that are set, without those of modalities that are absent, and of pairs with one."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        words = set(name.split("_"))
        kept = _used(value, absent) if isinstance(value, Mapping) else value
        is_set = kept is not None and (kept or not isinstance(kept, list | tuple | dict))
        if is_set and not (words <= _PAIRED and words & set(absent)):
            found[name] = kept
    return found


def _memory(outlook: Outlook, needed: int) -> Iterator[str]:
    """Memory of the weights and the largest product; other activations come on top."""
    line = f"memory of a trial: at least {needed / GIB:.3g} GiB (base configuration)"
    if outlook.largest and outlook.largest[2] > needed:
        path, value, most = outlook.largest
        line += f"; with {path}: {short(value)}, {most / GIB:.3g} GiB"
    yield line


@dataclass(frozen=True)
class _Timed:
    """What training the base takes: seconds of a step, and how many steps there are."""

    step: float
    steps: int


def _timed(config: StudyConfig, corpus: Corpus, cache: Path) -> _Timed:
    as_a_trial = with_overrides(config.base, {"train.threads": config.threads})
    step = time_step(as_a_trial, corpus, cache=cache)
    return _Timed(step, count_steps(config.base, corpus, cache=cache))


def _cost(timed: _Timed, trials: int, share: Share, config: StudyConfig) -> str:
    scheduler, epochs = config.search.scheduler, config.base.train.epochs
    never = ""
    if isinstance(scheduler, RungSettings) and not scheduler.levels(epochs):
        never = (
            f"; the scheduler {scheduler.name} stops none: its first rung, search.scheduler.grace: "
            f"{scheduler.grace}, is not below the {epochs} epochs"
        )
    total = timed.step * timed.steps * trials
    return (
        f"cost at most: {1000 * timed.step:.3g} ms/step x {timed.steps:,} steps x {trials:,} trials = "
        f"{_long(total)} of one trial after the other ({share.cost(total)}), if no trial stops early{never}"
    )


def _finalists(config: StudyConfig, cache: Path, share: Share) -> Iterator[str]:
    """What finalists take at most; their settings are dearer than those of the search."""
    finalists = config.search.finalists
    if finalists is None:
        return
    # Threads are set by `_timed`; the corpus is another one, such as tokens instead of features.
    dear = config.model_copy(update={"base": with_overrides(config.base, finalists.set)})
    timed = _timed(dear, prepare(dear.base, cache), cache)
    most = finalists.top + finalists.defaults
    total = timed.step * timed.steps * most
    yield (
        f"finalists at most: {1000 * timed.step:.3g} ms/step x {timed.steps:,} steps x {most} finalists = "
        f"{_long(total)} ({share.cost(total)})"
    )


def _references(plan: ReferencePlan, timed: _Timed, share: Share) -> Iterator[str]:
    """The reference points and what they take at most: each leaves something out of the base."""
    yield from plan.lines()
    if plan.ridges:
        yield f"references, apart from the trials: {', '.join(plan.ridges)} (seconds)"
    if plan.runs:
        total = timed.step * timed.steps * len(plan.runs)
        yield (
            f"references, trained apart from the trials: {', '.join(plan.runs)}; at most "
            f"{len(plan.runs)} x {timed.steps:,} steps = {_long(total)} more ({share.cost(total)}); "
            "search.references: ridge does without them"
        )


def _long(seconds: float) -> str:
    """A duration of any length, in words."""
    if seconds > _CENTURY:
        return f"{seconds / _CENTURY:,.3g} centuries"
    return str(timedelta(seconds=round(seconds)))


def _measured(study: StudyView, share: Share) -> Iterator[str]:
    """What the trials of the study took, and what the remaining ones would take."""
    if study.finished:
        each = study.cost().seconds / study.finished
        yield (
            f"so far: {study.finished} of {study.asked} trials ended, {study.cost()}, "
            f"{_long(each)} a trial; the other {study.remaining} at that rate: "
            f"{share.cost(each * study.remaining)}"
        )


def samples(config: StudyConfig) -> list[Mapping[str, Scalar]]:
    """A few points of the space, chosen by the sampler before it has seen a trial."""
    study = optuna.create_study(
        directions=[objective.direction for objective in config.search.objectives],
        sampler=config.build_sampler(num_trials=0),
    )
    return [config.space.suggest(study.ask()) for _ in range(_NUM_SAMPLES)]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else line for line in text.splitlines())
