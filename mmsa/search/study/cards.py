"""A study and its trials as observers see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from mmsa.config import dump_yaml
from mmsa.data.corpus import MODALITIES
from mmsa.interface import Scalar, SplitCard, StudyCard, TrialCard
from mmsa.search.definition.levels import searched_coefficients
from mmsa.search.records import STANDARD_ERRORS, TrialRecord, shown_params
from mmsa.search.study.view import StudyView

_EPOCHS = "train.epochs"
_TAG_LENGTH = 5000  # that every store of MLflow takes


def study_card(study: StudyView) -> StudyCard:
    """The card of a study."""
    known = study.attributes
    tags = {
        "corpus_digest": known["corpus_digest"],
        "git_commit": str(known["git_commit"]),
        "git_dirty": str(known["git_dirty"]),
        "space_version": str(len(study.space_versions)),
        **_code(study),
        **({"tested": "; ".join(study.tested)[:_TAG_LENGTH]} if study.tested else {}),
    }
    config, objectives = study.config, study.config.search.objectives
    searched = list(config.space.parameters)
    weighing = {path for c in searched_coefficients(config, MODALITIES) for path in (c.path, c.weight_path)}
    constants = {objective.metric: study.constant(objective.metric) for objective in objectives}
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
        parameters=tuple(searched),
        coefficients=tuple(path for path in searched if path in weighing),
        fixed={
            path: value
            for path, value in _settings(config.base.model_dump(mode="json"))
            if path not in config.space.parameters
        },
        splits=tuple(SplitCard(**split) for split in known.get("splits", ())),
        constants={metric: constant.value for metric, constant in constants.items() if constant},
        num_epochs=None if _EPOCHS in config.space.parameters else config.base.train.epochs,
    )


def _settings(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Scalar]]:
    """Every setting of a configuration by dotted path; lists as text, and nothing that is not set."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value if isinstance(value, Scalar) else str(value)


def _code(study: StudyView) -> dict[str, str]:
    """Tags for the code of the latest launch; none for a study that is older than this record.

    Its folder stays with the study: MLflow is read on other machines, by other people.
    """
    known = study.attributes.get("code", [])
    return {"code_digest": known[-1]["digest"], "code_commit": str(known[-1]["commit"])} if known else {}


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
        standard_error=standard_error(study, trial),
    )


def standard_error(study: StudyView, trial: TrialRecord) -> float | None:
    """That of a trial's first objective; None where it was not measured."""
    errors: Mapping[str, float] = trial.notes.get(STANDARD_ERRORS, {})
    return errors.get(study.config.search.objectives[0].metric)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
