"""The ledger of test openings: an append-only file of JSON lines.

An opening is written before the test split is read, and its metrics afterwards, so a retraining that dies in
between is counted as well.
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
"""File name of the ledger in the folder of runs."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Opening:
    """One opening of a test split.

    Attributes:
        data_set: name of the data set.
        config_digest: SHA-256 of the configuration without the seed.
        corpus_digest: SHA-256 of train and valid.
        study: that the configuration was exported from; None for one written by hand.
        trial: of that study; None likewise.
        seeds: of the models that predicted.
        overrides: changes to the exported file, by dotted path.
        selected: the seed with which the search selected the configuration; it is left out of the means.
        test_digest: SHA-256 of the test split; empty if the retraining died before it was known.
        metrics: test metrics of each seed; empty likewise.
        date: ISO 8601 in UTC.
        id: unique in the ledger.
        test_rows: the rows that were opened, as ``RowSet.text`` writes them; empty in older entries.
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
        """Mean of each test metric over fresh seeds; empty if nothing was recorded."""
        results = zip(self.seeds, self.metrics, strict=False)
        fresh = [metrics for seed, metrics in results if seed != self.selected]
        if not fresh:
            return {}
        return {name: sum(metrics[name] for metrics in fresh) / len(fresh) for name in fresh[0]}


class Ledger:
    """A ledger file.

    Args:
        path: of the file, which need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path

    def open(self, opening: Opening) -> None:
        """Record that the test split is about to be read."""
        self._append({"event": "opened", **asdict(opening)})

    def measure(self, opening: Opening, test_digest: str, metrics: Sequence[Mapping[str, float]]) -> None:
        """Record the test metrics of an opening."""
        measured = {"test_digest": test_digest, "metrics": [dict(values) for values in metrics]}
        self._append({"event": "measured", "id": opening.id, **measured})

    def _append(self, entry: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two retrainings may share the folder of runs
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())  # or a crash of the machine could undo an opening that took place

    def openings(self) -> list[Opening]:
        """All openings, oldest first.

        Raises:
            DataError: for a line that this class never writes.
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
            DataError: for a line that this class never writes.
        """
        return [opening for opening in self.openings() if len(RowSet.from_text(opening.test_rows) & rows)]

    def openings_of(self, study: str | None, config_digest: str) -> list[Opening]:
        """The openings for any trial of ``study``; without a study, those for the configuration."""
        return [
            opening
            for opening in self.openings()
            if (opening.study == study if study is not None else opening.config_digest == config_digest)
        ]
