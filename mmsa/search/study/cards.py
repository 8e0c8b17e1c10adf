"""A study and its trials as observers see them."""

from __future__ import annotations

from datetime import datetime

from mmsa.config import dump_yaml
from mmsa.interface import StudyCard, TrialCard
from mmsa.search.records import TrialRecord, shown_params
from mmsa.search.study.view import StudyView


def study_card(study: StudyView) -> StudyCard:
    """The card of a study."""
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
        references=tuple(study.references()),
    )


def _code(study: StudyView) -> dict[str, str]:
    """Tags for the code of the latest launch; none for a study that is older than this record."""
    known = study.attributes.get("code", [])
    return {"code_path": known[-1]["path"], "code_commit": str(known[-1]["commit"])} if known else {}


def _history(study: StudyView) -> str:
    """The edits of the space, as comments to stand above it."""
    return "".join(
        f"# version {version.number}, {version.date}: {'; '.join(version.changes)}\n"
        for version in study.space_versions[1:]
    )


def trial_card(study: StudyView, trial: TrialRecord) -> TrialCard:
    """The card of a trial."""
    return TrialCard(
        number=trial.number,
        outcome=trial.outcome,
        params=shown_params(trial, study.divided(trial)),
        config_yaml=dump_yaml(study.trial_config(trial).model_dump(mode="json")),
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
