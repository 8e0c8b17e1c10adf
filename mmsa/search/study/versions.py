"""Versions of a space that is edited between launches, and which trials lie in which version.

A trial lies in a version if some point of it stands for exactly the configuration that the trial ran. Nothing
else decides: a removed parameter must have had the base's value, a new one counts with the base's value, and
an edited setting of the base that is not searched leaves every trial outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mmsa.config import dump_yaml, parse, read_yaml, with_overrides
from mmsa.errors import ConfigError, StudyError
from mmsa.interface import Scalar
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.checks import dotted

_FREE = ("search.trials", "search.starts", "search.references", "resources.")
_FIXED = {
    "study": "the study is found by it",
    "search.objectives": "trials are compared by them",
    "base.data": "values on other data do not compare",
    "base.train.metric": "the best epoch of a trial is chosen by it",
    "base.train.direction": "the best epoch of a trial is chosen by it",
    "base.train.epochs": "values at other lengths do not compare",
}
_ADVICE = "Go on with that version, or write another name after `study:` to begin a new study."


@dataclass(frozen=True)
class Version:
    """A space as it was from one launch on.

    Attributes:
        number: counted from 1.
        date: of that launch.
        changes: from the version before, in words.
        space: as YAML.
        carried: numbers of the trials of earlier versions that lie in it.
    """

    number: int
    date: str
    changes: tuple[str, ...]
    space: str
    carried: frozenset[int] = frozenset()

    @cached_property
    def config(self) -> StudyConfig:
        """The space, parsed."""
        return stored_space(self.space, f"version {self.number} of the space")

    @property
    def attribute(self) -> str:
        """Name of the study attribute that holds it."""
        return f"version/{self.number}"

    def stored(self) -> dict[str, Any]:
        """The value of that attribute."""
        return {
            "date": self.date,
            "changes": list(self.changes),
            "space": self.space,
            "carried": sorted(self.carried),
        }

    def text(self) -> str:
        """The version as a file: the space, below what changed and when."""
        head = [f"version {self.number}, {self.date}", *self.changes]
        return "".join(f"# {line}\n" for line in head) + self.space


def stored_space(text: str, what: str) -> StudyConfig:
    """Parse a space that a study remembers.

    Args:
        text: YAML.
        what: names it in an error.

    Raises:
        StudyError: if an earlier version of mmsa wrote what this one does not accept.
    """
    try:
        return parse(StudyConfig, read_yaml(text, what), what)
    except ConfigError as error:
        raise StudyError(f"{error}\n{what} was written by an earlier version of mmsa. {_ADVICE}") from None


def refuse_earlier_format(study: str, attributes: Mapping[str, Any]) -> None:
    """Refuse a study of the first versions of mmsa, which remembered no versions of the space and no target.

    Raises:
        StudyError: for a study that has begun without them.
    """
    if "space" in attributes and None in (attributes.get("version/1"), attributes.get("target")):
        raise StudyError(
            f"study {study!r} was begun with an earlier version of mmsa (commit "
            f"{attributes.get('git_commit')}), which remembered its trials in another form. {_ADVICE}"
        )


def versions_in(attributes: Mapping[str, Any]) -> list[Version]:
    """The versions in the attributes of a study, in order."""
    versions: list[Version] = []
    while (stored := attributes.get(f"version/{len(versions) + 1}")) is not None:
        known = {**stored, "changes": tuple(stored["changes"]), "carried": frozenset(stored["carried"])}
        versions.append(Version(number=len(versions) + 1, **known))
    return versions


def first_version(config: StudyConfig) -> Version:
    """The version of a study that begins."""
    return Version(1, _today(), (), dump_yaml(config.model_dump()))


def next_version(
    latest: Version, config: StudyConfig, trials: Iterable[tuple[int, Version, Mapping[str, Scalar]]]
) -> Version | None:
    """The version that follows the latest one; None if nothing was edited.

    Args:
        latest: version of the study.
        config: of this launch.
        trials: number, version and point of each trial.

    Raises:
        StudyError: if something was edited that a study cannot change.
    """
    changes = tuple(_changes(latest.config, config))
    if not changes:
        return None
    _refuse_fixed(config.study, changes)
    carried = frozenset(
        number for number, version, point in trials if point_in(config, version.config, point) is not None
    )
    return Version(latest.number + 1, _today(), changes, dump_yaml(config.model_dump()), carried)


def point_in(now: StudyConfig, then: StudyConfig, point: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
    """The point of the space ``now`` that stands for what a trial of ``then`` ran; None if there is none."""
    run = with_overrides(then.base, point)
    try:
        values = now.space.values_of(run)
        now.space.encode(values)
        same = with_overrides(now.base, values) == run and now.allows(values)
    except ConfigError:
        return None
    return values if same else None


def _refuse_fixed(study: str, changes: Iterable[str]) -> None:
    refused = [
        f"  {change} - {reason}"
        for change in changes
        for path, reason in _FIXED.items()
        if change.startswith((f"{path}:", f"{path}."))
    ]
    if refused:
        raise StudyError(
            f"study {study!r} cannot continue with this space:\n" + "\n".join(refused) + "\n"
            "Put these back to continue it, or write another name after `study:` to begin a new one."
        )


def _changes(before: StudyConfig, now: StudyConfig) -> Iterator[str]:
    old, new = dotted(before.model_dump()), dotted(now.model_dump())
    for path in sorted(old.keys() | new.keys()):
        if path.startswith(_FREE) or old.get(path) == new.get(path):
            continue
        if path not in new:
            yield f"{path}: was {old[path]!r}, is gone"
        elif path not in old:
            yield f"{path}: {new[path]!r} is new"
        else:
            yield f"{path}: was {old[path]!r}, is {new[path]!r}"


def _today() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
