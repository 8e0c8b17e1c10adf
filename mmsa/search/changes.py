"""Whether a study may continue with the space file it is given now."""

from __future__ import annotations

from collections.abc import Iterator

from mmsa.errors import StudyError
from mmsa.search.checks import dotted
from mmsa.search.study_config import StudyConfig

_MAY_CHANGE = ("search.trials", "search.starts", "resources.", "reported")


def refuse_changes(study: str, before: StudyConfig, now: StudyConfig) -> None:
    """Only trials, resources, further starts and what others report may differ between launches of a study.

    Raises:
        StudyError: with every other change.
    """
    changes = [*_changes(before, now), *_lost_starts(before, now)]
    if changes:
        listed = "\n".join(f"  {change}" for change in changes)
        raise StudyError(
            f"study {study!r} was begun with another space:\n{listed}\n"
            "Put these back to continue it, or write another name after `study:` to begin a new one."
        )


def _changes(before: StudyConfig, now: StudyConfig) -> Iterator[str]:
    old, new = dotted(before.model_dump()), dotted(now.model_dump())
    for path in sorted(old.keys() | new.keys()):
        if path.startswith(_MAY_CHANGE) or old.get(path) == new.get(path):
            continue
        if path not in new:
            yield f"{path}: was {old[path]!r}, is gone"
        elif path not in old:
            yield f"{path}: {new[path]!r} is new"
        else:
            yield f"{path}: was {old[path]!r}, is {new[path]!r}"


def _lost_starts(before: StudyConfig, now: StudyConfig) -> Iterator[str]:
    old, new = before.starts(), now.starts()
    if new[: len(old)] != old:
        yield "search.starts: may only grow at its end"
