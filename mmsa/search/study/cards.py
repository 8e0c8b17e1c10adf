"""What a trial runs, and a study and its trials as those who watch it see them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mmsa.config import dump_yaml, with_overrides
from mmsa.experiment import RunConfig
from mmsa.search.records import Suggestion, TrialRecord
from mmsa.search.space.scalars import Scalar
from mmsa.search.study.view import StudyView
from mmsa.tracking import StudyCard, TrialCard


def trial_config(study: StudyView, trial: Suggestion | TrialRecord) -> RunConfig:
    """The complete configuration of a trial: what it runs, what export writes, what retrain repeats.

    Threads are always pinned, to the number the study began with.
    """
    pinned: dict[str, Any] = {"train.threads": study.attributes["threads"]}
    if trial.course:
        pinned["course"] = list(trial.course)
    return with_overrides(study.base_of(trial.version), {**pinned, **trial.overrides})


def shown(trial: Suggestion | TrialRecord) -> dict[str, Scalar]:
    """What was chosen for a trial: the point it began at, and how settings changed, in words."""
    changes = [
        f"after {change['after']}: "
        + ", ".join(f"{path} {value:.4g}" for path, value in change["set"].items())
        for change in trial.course
    ]
    return {**trial.overrides, **({"course": "; ".join(changes)} if changes else {})}


def study_card(study: StudyView) -> StudyCard:
    """The study as its observers see it."""
    known = study.attributes
    tags = {
        "corpus_digest": known["corpus_digest"],
        "git_commit": str(known["git_commit"]),
        "git_dirty": str(known["git_dirty"]),
        "space_version": str(len(study.space_versions)),
        **_code(study),
    }
    objectives = study.config.search.objectives
    return StudyCard(
        name=study.name,
        identity=known["identity"],
        data_set=study.config.base.data.name,
        metrics=tuple(objective.metric for objective in objectives),
        directions=tuple(objective.direction for objective in objectives),
        num_trials=study.asked,
        space_yaml=_history(study) + known["space"],
        tags=tags,
    )


def _code(study: StudyView) -> dict[str, str]:
    """The code of the latest launch; nothing of a study of before it was remembered."""
    known = study.attributes.get("code", [])
    return {"code_path": known[-1]["path"], "code_commit": str(known[-1]["commit"])} if known else {}


def _history(study: StudyView) -> str:
    """How the space was edited, as comments above it."""
    return "".join(
        f"# version {version.number}, {version.date}: {'; '.join(version.changes)}\n"
        for version in study.space_versions[1:]
    )


def trial_card(study: StudyView, trial: TrialRecord) -> TrialCard:
    """The trial as its observers see it."""
    return TrialCard(
        number=trial.number,
        outcome=trial.outcome,
        params=shown(trial),
        config_yaml=dump_yaml(trial_config(study, trial).model_dump(mode="json")),
        values=trial.values,
        reason=study.broken(trial) if trial.outcome == "completed" else trial.reason,
        violation=trial.violation,
        metrics=trial.metrics,
        best_epoch=trial.best_epoch,
        epochs=trial.epochs,
        information=trial.information,
        started=_seconds(trial.started),
        finished=_seconds(trial.finished),
        stage=trial.stage,
        superseded=trial.superseded,
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
