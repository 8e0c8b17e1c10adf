"""Which configurations of a study are compared: its best ones by valid, and the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmsa.config import with_overrides
from mmsa.errors import StudyError
from mmsa.experiment import RunConfig
from mmsa.interface import Scalar, short
from mmsa.results.entrants import Candidate
from mmsa.results.sealed import digest
from mmsa.search.records import Suggestion, TrialRecord, shown_params
from mmsa.search.space.checks import dotted
from mmsa.search.study.view import StudyView

DEFAULTS = "defaults"
"""Name of the configuration that runs the base as it is."""
_NO_SETTINGS = {"seed", "train.threads"}  # that a configuration differs in without being another one


def candidates(study: StudyView, top: int, overrides: Mapping[str, Any]) -> list[Candidate]:
    """The ``top`` best different configurations of a study, best first, and the defaults.

    Once there are finalists, only they are compared, and defaults with the finalists' settings. Trials that
    break a bound on a metric are left out, unless all do.

    Args:
        study: as it stands.
        top: how many, beside the defaults.
        overrides: changes of each configuration, by dotted path.

    Raises:
        StudyError: where there are not two different ones.
        ConfigError: for overrides that do not fit.
    """
    ranked = study.completed("finalist") or study.completed("search")
    ranked = [trial for trial in ranked if not trial.violation] or ranked
    base = _default_config(study, bool(ranked and ranked[0].stage == "finalist"), overrides)
    best: dict[str, Candidate] = {}
    defaults = Candidate(DEFAULTS, None, base, digest(base), {}, None, 0)
    for trial in ranked:
        config = with_overrides(study.trial_config(trial), overrides, "--set")
        candidate = _candidate(study, trial, config, base)
        if candidate.name != DEFAULTS and len(best) < top:
            best.setdefault(candidate.digest, candidate)
        elif candidate.name == DEFAULTS and defaults.trial is None:
            defaults = candidate
        if len(best) == top and defaults.trial is not None:
            break
    if not best:
        raise StudyError(
            f"study {study.name!r} has no completed trial to compare with the defaults; continue it with "
            "launch/search.py"
        )
    return [*best.values(), defaults]


def _default_config(study: StudyView, finalists: bool, overrides: Mapping[str, Any]) -> RunConfig:
    """The base as it is now, with the threads of the study, as a trial of it would run."""
    point: dict[str, Scalar] = study.config.complete({})
    if finalists and study.config.search.finalists is not None:
        point |= study.config.search.finalists.set
    trial = Suggestion(-1, point, version=len(study.space_versions))
    return with_overrides(study.trial_config(trial), overrides, "--set")


def _candidate(study: StudyView, trial: TrialRecord, config: RunConfig, base: RunConfig) -> Candidate:
    ours, theirs = (dotted(run.model_dump(mode="json")) for run in (config, base))
    changed = {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)}
    changes = len(changed - _NO_SETTINGS)
    return Candidate(
        name=f"trial {trial.number}" if changes else DEFAULTS,
        trial=trial.number,
        config=config,
        digest=digest(config),
        params={path: short(value) for path, value in shown_params(trial, study.divided(trial)).items()},
        searched=trial.values[0],
        changes=changes,
    )
