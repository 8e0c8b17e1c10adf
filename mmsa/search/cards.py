"""What a trial runs, and a study and its trials as those who watch it see them."""

from __future__ import annotations

from datetime import datetime

from mmsa.config import dump_yaml, with_overrides
from mmsa.experiment import RunConfig
from mmsa.search.records import Suggestion, TrialRecord
from mmsa.search.study import StudyView
from mmsa.search.study_config import StudyConfig
from mmsa.tracking import StudyCard, TrialCard


def trial_config(config: StudyConfig, trial: Suggestion | TrialRecord) -> RunConfig:
    """The complete configuration of a trial: what it runs, what export writes, what retrain repeats.

    Threads are always pinned, because the last bits of a sum on a CPU depend on their number.
    """
    threads = config.base.train.threads or config.resources.cpus_per_worker
    return with_overrides(config.base, {"train.threads": threads, **trial.overrides})


def study_card(study: StudyView) -> StudyCard:
    """The study as its observers see it."""
    known = study.attributes
    tags = {name: str(known[name]) for name in ("corpus_digest", "git_commit", "git_dirty") if name in known}
    objectives = study.config.search.objectives
    return StudyCard(
        name=study.name,
        identity=known["identity"],
        data_set=study.config.base.data.name,  # type: ignore[attr-defined]
        metrics=tuple(objective.metric for objective in objectives),
        directions=tuple(objective.direction for objective in objectives),
        num_trials=study.asked,
        space_yaml=known["space"],
        tags=tags,
    )


def trial_card(study: StudyView, trial: TrialRecord) -> TrialCard:
    """The trial as its observers see it."""
    return TrialCard(
        number=trial.number,
        outcome=trial.outcome,
        params=trial.overrides,
        config_yaml=dump_yaml(trial_config(study.config, trial).model_dump(mode="json")),
        values=trial.values,
        reason=trial.reason,
        epochs=trial.epochs,
        started=_seconds(trial.started),
        finished=_seconds(trial.finished),
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
