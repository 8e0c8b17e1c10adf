"""The ledger of test openings: an append-only file whose entries are chained by digests.

An opening is written before the test split is read, and its metrics afterwards, so a retraining that dies in
between is counted as well.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmsa.data.chained import ChainedFile
from mmsa.data.rows import RowSet
from mmsa.errors import DataError

LEDGER = "ledger.jsonl"
"""File name of the ledger in the folder of runs."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class OpenedBeside:
    """A configuration whose models were measured in the same opening as another's.

    Attributes:
        trial: of the study; None for defaults that no trial ran.
        config_digest: as in ``Opening``.
        config: as in ``Opening``.
        seeds: of its models.
        metrics: test metrics of each seed; empty if the comparison died before they were known.
    """

    trial: int | None
    config_digest: str
    config: Mapping[str, Any]
    seeds: Sequence[int]
    metrics: Sequence[Mapping[str, float]] = field(default_factory=list)


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
        config: the configuration, as JSON has it; empty in older entries.
        beside: other configurations that were compared with it.
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
    config: Mapping[str, Any] = field(default_factory=dict)
    beside: Sequence[OpenedBeside] = field(default_factory=list)

    @property
    def spoken(self) -> str:
        """What was opened, in words: the configuration, its changes, and how many lie beside it."""
        unnumbered = "a configuration of no study" if self.study is None else "the defaults"
        what = unnumbered if self.trial is None else f"trial {self.trial}"
        changes = "".join(f", {path}={value}" for path, value in self.overrides.items())
        return f"{what}{changes}" + (f", and {len(self.beside)} beside it" if self.beside else "")

    @property
    def config_digests(self) -> set[str]:
        """Of every configuration that was measured."""
        return {self.config_digest, *(other.config_digest for other in self.beside)}

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
        self._file = ChainedFile(path)

    def open(self, opening: Opening) -> None:
        """Record that the test split is about to be read."""
        self._file.append({"event": "opened", **asdict(opening)})

    def measure(
        self,
        opening: Opening,
        test_digest: str,
        metrics: Sequence[Mapping[str, float]],
        beside: Sequence[OpenedBeside] = (),
    ) -> None:
        """Record the test metrics of an opening, those of the configurations beside it among them."""
        measured: dict[str, Any] = {"test_digest": test_digest, "metrics": [dict(m) for m in metrics]}
        if beside:
            measured["beside"] = [asdict(other) for other in beside]
        self._file.append({"event": "measured", "id": opening.id, **measured})

    def openings(self) -> list[Opening]:
        """All openings, oldest first.

        Raises:
            DataError: for a line that this class never writes, or a file that is not as it was written.
        """
        found: dict[str, Opening] = {}
        for number, entry in self._file.entries():
            try:
                if "beside" in entry:
                    entry["beside"] = [OpenedBeside(**other) for other in entry["beside"]]
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
            if (opening.study == study if study is not None else config_digest in opening.config_digests)
        ]
