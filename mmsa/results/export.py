"""Export of a trial: from a study to one file from which the model can be trained again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mmsa.errors import StudyError
from mmsa.results.exported import Exported, Provenance, Seen, save_export
from mmsa.search.records import TrialRecord
from mmsa.search.study.view import StudyView


def export(study: StudyView, path: Path, trial: int | None = None) -> Exported:
    """Write a trial of ``study`` to ``path``: the best one, or that with the number ``trial``.

    A trial that breaks a bound on a metric is exported only if it is asked for by its number, and the file
    says so.

    Raises:
        StudyError: when there is no such trial, it has no result, or the best one breaks a bound.
    """
    record = _best(study) if trial is None else _numbered(study, trial)
    exported = exported_trial(study, record)
    save_export(exported, path)
    return exported


def exported_trial(study: StudyView, record: TrialRecord) -> Exported:
    """What a file would say of a completed trial: its configuration and where it comes from."""
    config, known, seen = study.trial_config(record), study.attributes, study.seen
    provenance = Provenance(
        study=study.name,
        trial=record.number,
        metric=study.config.search.objectives[0].metric,
        value=record.values[0],
        breaks=study.broken(record),
        tested=tuple(study.tested),
        best_epoch=record.best_epoch,
        seed=config.seed,
        threads=config.train.threads,
        corpus_digest=known["corpus_digest"],
        git_commit=known["git_commit"],
        git_dirty=known["git_dirty"],
        versions=known["versions"],
        seen=None if seen is None else Seen(**seen.to_dict()),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Exported(config=config, provenance=provenance)


def _best(study: StudyView) -> TrialRecord:
    best = study.best()
    if best is None:
        raise StudyError(
            f"study {study.name!r} has no completed trial yet; continue it with launch/search.py"
        )
    if best.violation:
        raise StudyError(_infeasible(study, best))
    return best


def _infeasible(study: StudyView, best: TrialRecord) -> str:
    searched = next((trial for trial in study.completed("search") if not trial.violation), None)
    what = f"the best trial of study {study.name!r}, {best.number}, {study.broken(best)}"
    if searched is not None:
        return (
            f"{what}, as every finalist does; of the search trial {searched.number} breaks none. "
            f"Write --trial {best.number} or --trial {searched.number} to take one of them."
        )
    return (
        f"{what}, and no other breaks less. Write --trial {best.number} to take it all the same, "
        "or continue the search with launch/search.py."
    )


def _numbered(study: StudyView, number: int) -> TrialRecord:
    records = {record.number: record for record in study.trials()}
    if number not in records:
        raise StudyError(f"study {study.name!r} has no trial {number}, only 0 to {max(records, default=0)}")
    if records[number].outcome != "completed":
        raise StudyError(
            f"trial {number} of study {study.name!r} has no result: it is {_state(records[number])}"
        )
    return records[number]


def _state(record: TrialRecord) -> str:
    return f"{record.outcome} ({record.reason})" if record.reason else record.outcome
