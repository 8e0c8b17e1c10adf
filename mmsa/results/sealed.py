"""The sealed test split: what must hold before it is opened, and the only way to open it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mmsa.config import with_overrides
from mmsa.data.catalogue import open_corpus
from mmsa.data.corpus import Corpus, Split
from mmsa.data.ledger import Ledger, Opening
from mmsa.data.readers.base import HOW_TO_SPLIT
from mmsa.data.rows import Rows, RowSet
from mmsa.data.validation import raise_data_error
from mmsa.errors import DataError
from mmsa.experiment import RunConfig, without_later_defaults
from mmsa.results.exported import Exported

Say = Callable[[str], None]
"""Is given lines of progress."""

WHERE_DATA_LIES = {"data.path"}
"""Settings that say where the data are, and not which."""

_CAME_LATER: Mapping[str, tuple[str, ...]] = {
    "cpc": ("fusion", "normalise"),
    "barber_agakov": ("invariant", "normalise"),
    "mimrl": ("estimators", "normalise"),
}
"""Settings by term that are no part of a digest while they have their defaults."""


def digest(config: RunConfig) -> str:
    """SHA-256 of a configuration without its seed."""
    values = without_later_defaults(config.model_dump(mode="json", exclude={"seed"}))
    # Settings that came later: without them nothing has changed, and the ledger knows earlier openings.
    if values["data"].get("metrics") == "auto":
        del values["data"]["metrics"]
    for name, settings in _CAME_LATER.items():
        if (term := config.objective.terms.get(name)) is not None:
            defaults = {setting: type(term).model_fields[setting].default for setting in settings}
            for setting in [setting for setting in settings if getattr(term, setting) == defaults[setting]]:
                del values["objective"]["terms"][name][setting]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def study_of(exported: Exported) -> str | None:
    """The study that a configuration was exported from; None for one written by hand."""
    return exported.provenance.study if exported.provenance else None


def check_same_data(exported: Exported, overrides: Mapping[str, Any], corpus: Corpus) -> None:
    """Refuse other train and valid splits than the search saw, unless they were changed on purpose.

    Raises:
        DataError: for other data.
    """
    expected = exported.provenance.corpus_digest if exported.provenance else corpus.digest
    if corpus.digest != expected and not data_changes(overrides):
        raise DataError(
            f"{corpus.name}: train and valid (digest {corpus.digest[:12]}) are not those that study "
            f"{study_of(exported)!r} saw ({expected[:12]}); set data.path to those, or search again"
        )


def check_test(
    exported: Exported, config: RunConfig, overrides: Mapping[str, Any], corpus: Corpus, say: Say
) -> None:
    """Check the test split while it is still closed, before any seed is trained.

    Raises:
        DataError: where there is no test split, it is incomplete, or the search saw rows of it.
    """
    test = corpus.outlines.get("test")
    if test is None:
        instead = " What its folds say, less the optimism of a choice, is in launch/report.py." * bool(
            corpus.folds
        )
        raise DataError(f"{corpus.name} has no test split to measure on. {HOW_TO_SPLIT['test']}{instead}")
    raise_data_error(f"{corpus.name}: test cannot be opened as it is", list(test.problems))
    seen, ours = _seen(exported, overrides, corpus, say), Rows.of(corpus, "test")
    shared = {f"of its {len(ours.rows)} rows": ours.rows & seen.rows}
    if not getattr(config.data, "allow_shared_groups", False):
        shared[f"of its {len(ours.groups)} videos or speakers"] = ours.groups & seen.groups
    found = " and ".join(f"{len(common)} {of_what}" for of_what, common in shared.items() if common)
    if found:
        changed = ", ".join(f"{path}={value}" for path, value in data_changes(overrides).items())
        raise DataError(
            f"{corpus.name}: test stays closed: study {study_of(exported)!r} was trained on, or chose by, "
            f"{found}, so that they cannot test its configurations. Leave out --set {changed or 'data...'}, "
            "or search anew on these splits under another name after `study:`"
        )


def earlier_openings(ledger: Ledger, opening: Opening, rows: RowSet) -> tuple[int, Counter[str | None]]:
    """Number of earlier openings for the same subject, and those of any of ``rows`` for others, by study.

    The key None stands for configurations of no study.
    """
    own = ledger.openings_of(opening.study, opening.config_digest)
    ids = {entry.id for entry in own}
    others = (entry.study for entry in ledger.openings_of_rows(rows) if entry.id not in ids)
    return len(own), Counter(others)


def open_test(ledger: Ledger, opening: Opening, config: RunConfig) -> Split:
    """Write the opening down, then read the test split.

    In this order: an opening that fails was one all the same.
    """
    ledger.open(opening)
    return open_corpus(config.data, ("test",))["test"]


def data_changes(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides that change which rows or features are used, not merely where the file is."""
    return {
        path: value
        for path, value in overrides.items()
        if path.startswith("data.") and path not in WHERE_DATA_LIES
    }


def _seen(exported: Exported, overrides: Mapping[str, Any], corpus: Corpus, say: Say) -> Rows:
    """The rows that the study of an exported file trained on or selected by."""
    known = exported.provenance
    if known is None:
        return Rows()
    if known.seen is not None:
        return known.seen.known()
    if data_changes(overrides):  # an older file does not say what was seen, but the data may still be there
        where = {path: value for path, value in overrides.items() if path in WHERE_DATA_LIES}
        try:
            corpus = open_corpus(with_overrides(exported.config, where).data)
        except DataError as error:
            say(f"the data of study {known.study!r} cannot be read: {error}")
        if corpus.digest != known.corpus_digest:
            say(
                f"which rows study {known.study!r} saw is not known, so that test may not be unseen: export "
                "the trial again"
            )
            return Rows()
    return Rows.of(corpus, "train", "valid")
