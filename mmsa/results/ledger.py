"""The ledger of test openings: one file of JSON lines that only grows.

An opening is written before the test split is read, its metrics after; so a retraining that dies in between
is counted too.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmsa.data.rows import RowSet
from mmsa.errors import DataError

LEDGER = "ledger.jsonl"
"""Name of the ledger in the folder of runs."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Opening:
    """One opening of a test split.

    Attributes:
        data_set: name of the data set.
        config_digest: SHA-256 of the configuration, the seed apart.
        corpus_digest: SHA-256 of train and valid.
        study, trial: what the configuration was exported from; None for somebody's own.
        seeds: of the models that predicted.
        overrides: what was changed of the exported file.
        selected: which of the seeds the search chose the configuration with; it is not in the means.
        test_digest: SHA-256 of the test split; empty when the retraining died before it was known.
        metrics: test metrics of each seed; empty likewise.
        test_rows: the rows that were opened, see ``RowSet.text``; empty in entries of before.
    """

    data_set: str
    config_digest: str
    corpus_digest: str
    study: str | None
    trial: int | None
    seeds: Sequence[int]
    overrides: Mapping[str, Any]
    selected: int | None = None
    test_digest: str = ""
    metrics: Sequence[Mapping[str, float]] = field(default_factory=list)
    date: str = field(default_factory=_now)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    test_rows: str = ""

    def means(self) -> dict[str, float]:
        """Each test metric averaged over fresh seeds; empty where nothing was recorded."""
        results = zip(self.seeds, self.metrics, strict=False)
        fresh = [metrics for seed, metrics in results if seed != self.selected]
        if not fresh:
            return {}
        return {name: sum(metrics[name] for metrics in fresh) / len(fresh) for name in fresh[0]}


class Ledger:
    """The ledger in the file ``path``, which need not exist yet."""

    def __init__(self, path: Path):
        self.path = path

    def open(self, opening: Opening) -> None:
        """Write down that the test split is about to be read."""
        self._append({"event": "opened", **asdict(opening)})

    def measure(self, opening: Opening, test_digest: str, metrics: Sequence[Mapping[str, float]]) -> None:
        """Write down what an opening gave."""
        measured = {"test_digest": test_digest, "metrics": [dict(values) for values in metrics]}
        self._append({"event": "measured", "id": opening.id, **measured})

    def _append(self, entry: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def openings(self) -> list[Opening]:
        """All openings, oldest first.

        Raises:
            DataError: for a line that is not one of ours.
        """
        if not self.path.exists():
            return []
        found: dict[str, Opening] = {}
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                entry = json.loads(line)
                if entry.pop("event") == "opened":
                    found[entry["id"]] = Opening(**entry)
                else:
                    found[entry["id"]] = replace(found[entry["id"]], **entry)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise DataError(f"{self.path}, line {number}: no entry of the ledger ({error!r})") from None
        return list(found.values())

    def openings_of_rows(self, rows: RowSet) -> list[Opening]:
        """The openings, for any study, that saw any of ``rows``.

        Rows are compared by name, not by digest of the split: features that were extracted again, or a split
        that was cut anew, leave a row the same row.

        Raises:
            DataError: for a line that is not one of ours.
        """
        return [opening for opening in self.openings() if len(RowSet.from_text(opening.test_rows) & rows)]

    def openings_of(self, study: str | None, config_digest: str) -> list[Opening]:
        """The openings for any trial of ``study``; without one, those for the configuration."""
        return [
            opening
            for opening in self.openings()
            if (opening.study == study if study is not None else opening.config_digest == config_digest)
        ]
