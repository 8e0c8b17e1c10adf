"""Opening a study: what it remembers is brought up to date with its configuration and with earlier studies.

Each step writes last what marks it as done, so a driver that dies in between does no harm: the next one
repeats the step.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmsa.config import dump_yaml
from mmsa.data.ledger import LEDGER, Ledger
from mmsa.errors import StudyError, shortened
from mmsa.experiment import RunConfig
from mmsa.provenance import git_state, running_code, versions
from mmsa.search.definition.search_config import MOST_TRIALS
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import TrialTarget
from mmsa.search.samplers.priors import Density, Point
from mmsa.search.space.space import Space
from mmsa.search.study.stored import stage_of
from mmsa.search.study.tested import lines_of_tested
from mmsa.search.study.trial_store import TrialStore
from mmsa.search.study.versions import first_version, next_version, refuse_earlier_format, versions_in
from mmsa.search.study.view import StudyView, read_study

BEST_PART = 0.25
"""Part of the completed trials of an earlier study that a new one learns from; at least ``FEWEST_POINTS``."""
FEWEST_POINTS = 4


def reconcile(store: TrialStore, config: StudyConfig, runs: Path, storage: str | None) -> None:
    """Bring a study up to date with its configuration.

    Args:
        store: of the study.
        config: of this launch.
        runs: the folder of all studies; this one's is below it.
        storage: where earlier studies are read.

    Raises:
        StudyError: if the study cannot continue with this configuration.
    """
    known, folder = store.attributes, runs / config.study
    if "space" not in known and store.trials:
        raise StudyError(f"study {config.study!r} of this storage is not mmsa's; write another name")
    refuse_earlier_format(config.study, known)
    _reconcile_priors(store, config, runs, storage)
    identity = _identity(folder, known.get("identity"))
    if "space" not in known:
        commit, dirty = git_state() or (None, None)
        store.remember(identity=identity, git_commit=commit, git_dirty=dirty, versions=versions())
        # Kept when the resources change: on a CPU the last bits of a sum depend on the number of threads.
        store.remember(threads=config.threads)
    _reconcile_tested(store, config, runs, storage)
    _reconcile_code(store)
    _reconcile_version(store, config)
    aimed = {"target": asdict(target_of(known, config)), "trials_in_space": config.search.trials}
    if any(known.get(name) != value for name, value in aimed.items()):
        store.remember(**aimed)
    space = dump_yaml(config.model_dump())
    if known.get("space") != space:
        store.remember(space=space)
    (folder / "space.yaml").write_text(space, encoding="utf-8")


def target_of(known: Mapping[str, Any], config: StudyConfig) -> TrialTarget:
    """What a study aims at; a number of trials that was edited in its space begins to count anew.

    Args:
        known: what the study remembers; empty for one that has not begun.
        config: of this launch.
    """
    trials = config.search.trials
    return TrialTarget(**known["target"]) if known.get("trials_in_space") == trials else TrialTarget(trials)


def extended(target: TrialTarget, request: str, remaining: int) -> TrialTarget:
    """What a study aims at that is asked for ``"N"`` trials in all, or for ``"+N"`` more.

    Args:
        target: so far.
        request: as ``--trials`` has it.
        remaining: trials that are outstanding: then a ``"+N"`` that is repeated is the same request.

    Raises:
        StudyError: for anything else.
    """
    number = request.removeprefix("+")
    if not (number.isascii() and number.isdigit() and 0 < int(number[:20]) <= MOST_TRIALS):
        rule = f"must be a number of trials up to {MOST_TRIALS:,}, or +N for N more"
        raise StudyError(f"--trials {shortened(request)}: {rule}")
    if not request.startswith("+"):
        return TrialTarget(int(number))
    same = remaining and target.request == request
    return target if same else TrialTarget(target.asked + int(number), request)


def _reconcile_priors(store: TrialStore, config: StudyConfig, runs: Path, storage: str | None) -> None:
    """Read earlier studies once: what they know now is remembered, whatever becomes of them."""
    names = config.search.priors
    if tuple(store.attributes.get("priors", {})) != names:
        priors = read_priors(names, runs, storage, config.space)
        seen = [read_study(name, runs, storage).seen for name in names]
        store.remember(priors=priors, seen_by_priors=[rows and rows.to_dict() for rows in seen])


def _reconcile_tested(store: TrialStore, config: StudyConfig, runs: Path, storage: str | None) -> None:
    """Remember what of the starts and earlier studies has seen test, when they enter the study."""
    known = store.attributes.get("tested", {"points": [], "priors": [], "lines": []})
    points = [point for point in config.starts() if point not in known["points"]]
    priors = [name for name in config.search.priors if name not in known["priors"]]
    if not (points or priors):
        return
    # Openings of a study under way came after its starts; what an earlier study of its name opened did not.
    own = config.study if "space" in store.attributes else ""
    openings = [opening for opening in Ledger(runs / LEDGER).openings() if opening.study != own]
    inherited = {name: read_study(name, runs, storage).tested for name in priors}

    def config_of(study: str, trial: int) -> RunConfig:
        view = read_study(study, runs, storage)
        return view.trial_config(view.trial(trial))

    lines = lines_of_tested(config, points, inherited, openings, config_of)
    store.remember(
        tested={
            "points": [*known["points"], *points],
            "priors": [*known["priors"], *priors],
            "lines": [*known["lines"], *lines],
        }
    )


def _reconcile_code(store: TrialStore) -> None:
    """Remember the code of each launch that ran other code than the launch before it."""
    known, (commit, dirty) = store.attributes.get("code", []), git_state() or (None, None)
    code = {key: value for key, value in asdict(running_code()).items() if value}
    now = {**code, "commit": commit, "dirty": dirty}
    if not known or {**known[-1], "since": None} != {**now, "since": None}:
        store.remember(code=[*known, {**now, "since": datetime.now(UTC).isoformat(timespec="seconds")}])


def _reconcile_version(store: TrialStore, config: StudyConfig) -> None:
    known = versions_in(store.attributes)
    searched = (trial for trial in store.trials if stage_of(trial) == "search")
    points = ((t.number, known[t.user_attrs["version"] - 1], t.user_attrs["point"]) for t in searched)
    latest = next_version(known[-1], config, points) if known else first_version(config)
    if latest is not None:
        store.remember(**{latest.attribute: latest.stored()})


def _identity(folder: Path, remembered: str | None) -> str:
    """The token that ties the checkpoints in the folder to the study in the storage; made with the study."""
    path = folder / "identity"
    if remembered is None and not any((folder / "trials").iterdir()):
        path.write_text(uuid.uuid4().hex, encoding="utf-8")
        return path.read_text(encoding="utf-8")
    if remembered is None or not path.exists() or path.read_text(encoding="utf-8") != remembered:
        raise StudyError(
            f"{folder} does not belong to the study {folder.name!r} in this storage. "
            "Give the --runs or --storage of the study to continue, or write another name after `study:`."
        )
    return remembered


def read_priors(
    names: Sequence[str], runs: Path, storage: str | None, space: Space
) -> dict[str, list[Point]]:
    """The best points of each of these studies.

    Raises:
        StudyError: for a study that does not exist, has completed no trial, or searched only other
            parameters.
    """
    points = {name: best_points(read_study(name, runs, storage)) for name in names}
    for name, best in points.items():
        if not best:
            raise StudyError(f"search.priors: study {name!r} has no completed trial to learn from")
        if not Density(space, best).covered:
            searched = ", ".join(sorted({path for point in best for path in point}))
            raise StudyError(
                f"search.priors: study {name!r} searched none of the parameters of this space "
                f"(it searched {searched or 'nothing'}); name another study"
            )
    return points


def best_points(study: StudyView) -> list[Point]:
    """The points of a study's best searched trials, best first; only feasible ones if there are any."""
    completed = study.completed_points()
    completed = [trial for trial in completed if not trial.violation] or completed
    count = max(FEWEST_POINTS, math.ceil(BEST_PART * len(completed)))
    return [trial.overrides for trial in completed[:count]]


def prior_lines(points: Mapping[str, Sequence[Point]], space: Space) -> list[str]:
    """A line for each study: the parameters of the space that it knows about."""
    lines = []
    for name, best in points.items():
        known = Density(space, best).covered
        unknown = [path for path in space.parameters if path not in known]
        rest = f"; not of {', '.join(unknown)}" if unknown else ""
        lines.append(f"prior {name}: {len(best)} points that tell of {', '.join(known)}{rest}")
    return lines
