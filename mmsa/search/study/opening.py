"""A study that begins, or continues: what it remembers is brought up to date with its configuration.

What says that a step was done is written last, so a driver that dies on the way is no matter.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from mmsa.config import dump_yaml
from mmsa.errors import StudyError
from mmsa.provenance import git_state, running_code, versions
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Target
from mmsa.search.study.ledger import Ledger
from mmsa.search.study.prior_studies import read_priors
from mmsa.search.study.stored import stage_of
from mmsa.search.study.versions import first_version, next_version, refuse_earlier_format, versions_in
from mmsa.search.study.view import read_study


def settle(ledger: Ledger, config: StudyConfig, runs: Path, storage: str | None) -> None:
    """Bring the study in its folder below ``runs`` up to date.

    Args:
        storage: where earlier studies are read.

    Raises:
        StudyError: when it cannot continue with this configuration.
    """
    known, folder = ledger.attributes, runs / config.study
    if "space" not in known and ledger.trials:
        raise StudyError(f"study {config.study!r} of this storage is not mmsa's; write another name")
    refuse_earlier_format(config.study, known)
    _settle_priors(ledger, config, runs, storage)
    identity = _identity(folder, known.get("identity"))
    if "space" not in known:
        commit, dirty = git_state() or (None, None)
        ledger.remember(identity=identity, git_commit=commit, git_dirty=dirty, versions=versions())
        # Kept when the resources change: the last bits of a sum on a CPU depend on the threads.
        ledger.remember(threads=config.threads)
    _settle_code(ledger)
    _settle_version(ledger, config)
    trials = config.search.trials
    if known.get("trials_in_space") != trials:
        ledger.remember(target=asdict(Target(trials)), trials_in_space=trials)
    space = dump_yaml(config.model_dump())
    if known.get("space") != space:
        ledger.remember(space=space)
    (folder / "space.yaml").write_text(space, encoding="utf-8")


def _settle_priors(ledger: Ledger, config: StudyConfig, runs: Path, storage: str | None) -> None:
    """Earlier studies are read once: what they know now is remembered, whatever becomes of them."""
    names = config.search.priors
    if tuple(ledger.attributes.get("priors", {})) != names:
        priors = read_priors(names, runs, storage, config.space)
        seen = [read_study(name, runs, storage).seen for name in names]
        ledger.remember(priors=priors, seen_by_priors=[rows and rows.to_dict() for rows in seen])


def _settle_code(ledger: Ledger) -> None:
    """The code of each launch that ran another than the one before it."""
    known, (commit, dirty) = ledger.attributes.get("code", []), git_state() or (None, None)
    now = {**asdict(running_code()), "commit": commit, "dirty": dirty}
    if not known or {**known[-1], "since": None} != {**now, "since": None}:
        ledger.remember(code=[*known, {**now, "since": datetime.now(UTC).isoformat(timespec="seconds")}])


def _settle_version(ledger: Ledger, config: StudyConfig) -> None:
    known = versions_in(ledger.attributes)
    searched = (trial for trial in ledger.trials if stage_of(trial) == "search")
    points = ((t.number, known[t.user_attrs["version"] - 1], t.user_attrs["point"]) for t in searched)
    latest = next_version(known[-1], config, points) if known else first_version(config)
    if latest is not None:
        ledger.remember(**{latest.attribute: latest.stored()})


def _identity(folder: Path, remembered: str | None) -> str:
    """What ties the checkpoints in the folder to the study in the storage; made when the study is."""
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
