"""The report across studies: which information each data set rewards, and which modality carries it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np

from mmsa.interface import decimals
from mmsa.measurement import ABSENT, Measurement
from mmsa.reports.coefficients import Preferences, preferences
from mmsa.reports.composition import (
    DECOMPOSED,
    FEWEST_ROWS,
    amounts_in,
    brackets_of,
    dominant_modality,
    entropy_bits,
    largest,
    spoken_dominance,
    told_of,
)
from mmsa.reports.document import VERDICT_LENGTH, Block, Document, Paragraph, Picture, Section, Table
from mmsa.reports.evidence import Evidence
from mmsa.reports.information_charts import Cell, kinds_by_data_set
from mmsa.reports.naming import KINDS, Amount, Kind
from mmsa.reports.points import TERMS
from mmsa.reports.sources import Composition, decomposition_of
from mmsa.search.study.view import StudyView

_COLUMNS = ("redundancy", "unique text", "unique audio", "unique vision", "synergy", "total")
_DEVIATIONS_90 = 1.645
_CHOICES = (".name", ".estimator")
_LONGEST_NAME = 150  # of a file, in letters


@dataclass(frozen=True)
class _Line:
    """One study of the report."""

    evidence: Evidence
    source: Composition | None
    shares: Preferences | None

    @property
    def name(self) -> str:
        return self.evidence.study.name

    @property
    def best(self) -> Mapping[str, Measurement]:
        """What was measured on the vectors of the best trial."""
        return {} if self.evidence.best is None else self.evidence.best.information

    @cached_property
    def rival(self) -> tuple[str, float] | None:
        """The best of the reference points, in words, and its value."""
        metric, sign = self.evidence.metric, self.evidence.sign
        values = {
            point.spoken: point.metrics[metric]
            for point in self.evidence.study.references()
            if point.outcome == "completed" and metric in point.metrics
        }
        return min(values.items(), key=lambda item: sign * item[1], default=None)

    @cached_property
    def kind(self) -> str:
        """The kind that is named, in words."""
        return "not measured" if self.source is None else self.source.kind

    @cached_property
    def modality(self) -> str:
        """The dominant modality in words."""
        measured = {} if self.source is None else self.source.measured
        return spoken_dominance(dominant_modality(measured), measured)


@dataclass(frozen=True)
class AcrossReport:
    """The report across studies.

    Attributes:
        document: for people.
        rows: for programs: a row for each study, with the same columns; None where nothing is known.
    """

    document: Document
    rows: Sequence[Mapping[str, object]]


def across_report(studies: Sequence[StudyView], runs: Path, storage: str | None = None) -> AcrossReport:
    """The report across studies.

    Args:
        studies: of different data sets, or of several settings of one.
        runs: their folder of runs.
        storage: URL of their database, which commands name; None for the files in ``runs``.

    Raises:
        StudyError: for a damaged file of a report.
    """
    lines = []
    for study in studies:
        evidence = Evidence(study, runs)
        lines.append(_Line(evidence, decomposition_of(study, runs), preferences(study, evidence.completed)))
    sections = [
        Section("What they reward", [_summary(lines), *_picture(lines), *_missing(lines)]),
        Section("Coefficients as shares", _coefficients(lines)),
        Section("Do the estimators agree?", _agreement(lines)),
    ]
    title = f"Across {len(lines)} studies: {', '.join(line.name for line in lines)}"
    document = Document(title, _verdict(lines), sections).located(runs, storage)
    return AcrossReport(document, [_row(line) for line in lines])


def page_across(studies: Sequence[str]) -> str:
    """The name of the page on studies of these names: no longer than a file's may be."""
    names = "-".join(studies)
    if len(names) > _LONGEST_NAME:
        names = f"{names[:_LONGEST_NAME]}-{sha256(names.encode()).hexdigest()[:8]}"
    return f"across-{names}.html"


def _row(line: _Line) -> dict[str, object]:
    evidence, source = line.evidence, line.source
    constant = evidence.study.constant(evidence.metric)
    row: dict[str, object] = {
        "study": line.name,
        "data_set": evidence.study.config.base.data.name,
        "metric": evidence.metric,
        "best": None if evidence.best is None else evidence.best.values[0],
        "reference": None if line.rival is None else line.rival[0],
        "reference_value": None if line.rival is None else line.rival[1],
        "constant": None if constant is None else constant.value,
        "kind": line.kind,
        "modality": line.modality,
        "decomposition_of": None if source is None else source.origin,
        "rows": None if source is None else source.rows,
    }
    cells = {} if source is None else cells_of(source)
    for column in _COLUMNS:
        cell, name = cells.get(column), column.replace(" ", "_")
        row |= {name: None, f"{name}_low": None, f"{name}_high": None}
        if cell is not None:
            row |= {name: cell.value, f"{name}_low": cell.low, f"{name}_high": cell.high}
    rewarded = {} if line.shares is None else {share.name: share.quarter for share in line.shares.rows}
    row["shares"] = ", ".join(f"{name} {value:.2f}" for name, value in rewarded.items()) or None
    return row


def _verdict(lines: Sequence[_Line]) -> str:
    parts = [f"{line.name}: {line.kind}, modality {line.modality}" for line in lines]
    kept, told = len(parts), "; ".join(parts)
    while len(told) >= VERDICT_LENGTH and kept > 1:
        kept -= 1
        told = "; ".join([*parts[:kept], f"and {len(parts) - kept} more"])
    return f"{told[: VERDICT_LENGTH - 1]}."


def _summary(lines: Sequence[_Line]) -> Block:
    rows = []
    for line in lines:
        evidence = line.evidence
        best = "-" if evidence.best is None else decimals(evidence.best.values[0])
        constant = evidence.study.constant(evidence.metric)
        floor = "-" if constant is None else decimals(constant.value)
        source = (
            "no decomposition" if line.source is None else f"{line.source.origin} ({line.source.rows} rows)"
        )
        data = evidence.study.config.base.data.name
        simple = "-" if line.rival is None else f"{line.rival[0]} {decimals(line.rival[1])}"
        rows.append([line.name, data, evidence.metric, best, simple, floor, line.kind, line.modality, source])
    head = [
        "study",
        "data set",
        "metric",
        "best",
        "best reference",
        "constant",
        "dominant kind",
        "dominant modality",
        "decomposition of",
    ]
    caption = (
        f"A kind is named that is surely more than both others together, of features and {FEWEST_ROWS} rows "
        "or more; a modality where it adds most to all others with a probability of .95 over other groups. "
        "Scores are of valid."
    )
    return Table(caption, head, rows)


def _picture(lines: Sequence[_Line]) -> list[Block]:
    rows = [
        (line.name, cells_of(line.source), line.modality.removesuffix(")").split(" (")[0])
        for line in lines
        if line.source is not None
    ]
    if not rows:
        return []
    columns = [name for name in _COLUMNS if any(cells.get(name) for _, cells, _ in rows)]
    picture = kinds_by_data_set(rows, columns, "kinds of information by data set")
    text = (
        "Shares of H(label), which make data sets comparable, with 90 % intervals over groups; of pairs the "
        "one that has "
        "most. Values are points of BROJA within their brackets, or what is at least there where a trial "
        "kept no points. "
        "The darker, the larger the lower end; white is not told from nothing. Rows do not add up to 1."
    )
    # Studies beside each other, as in the tables below: so it fits the page.
    table = [
        [column, *("-" if (cell := cells.get(column)) is None else cell.text() for _, cells, _ in rows)]
        for column in columns
    ]
    names = [name for name, _, _ in rows]
    return [Picture(picture, text), Table("The same in numbers.", ["share of H(label)", *names], table)]


def cells_of(source: Composition) -> dict[str, Cell | None]:
    """The cells of picture B for one decomposition, by column."""
    entropy = entropy_bits(source.measured)
    if entropy is None or math.isclose(entropy, 0.0):
        return {}
    cells: dict[str, Cell | None] = {}
    total = next((b for b in brackets_of(source.measured) if b.part == "total"), None)
    if total is not None:
        cells["total"] = Cell(total.most, total.low, total.high)
    if source.decomposition is not None:
        amounts = amounts_in(source.decomposition)
        for column, kind in (("redundancy", "invariant"), ("synergy", "complementary")):
            if kind in amounts:
                cells[column] = _cell(largest(amounts[kind])[1], entropy)
        for member, amount in amounts.get("specific", {}).items():
            cells[f"unique {member}"] = _cell(amount, entropy)
        return cells
    for bracket in brackets_of(source.measured):
        column = f"unique {bracket.members}" if bracket.part == "unique" else bracket.part
        proven = max(0.0, bracket.least)
        known = cells.get(column)
        if column in _COLUMNS and column != "total" and (known is None or proven > known.value):
            cells[column] = Cell(proven, bracket.low, bracket.high)
    return cells


def _cell(amount: Amount, entropy: float) -> Cell:
    half = _DEVIATIONS_90 * amount.error
    return Cell(
        max(0.0, amount.bits / entropy), (amount.bits - half) / entropy, (amount.bits + half) / entropy
    )


def _missing(lines: Sequence[_Line]) -> list[Block]:
    found: list[Block] = []
    lacking = [
        line.name for line in lines if line.source is None and line.evidence.study.nature.can_be_divided
    ]
    if lacking:
        found.append(
            Paragraph(
                "Without a decomposition nothing is said of kinds and modalities; each takes half a minute "
                "for 1,000 rows:"
            )
        )
        found.append(
            Paragraph(
                "\n".join(f"python launch/report.py --study {name} --measure" for name in lacking),
                is_code=True,
            )
        )
    return found


def _coefficients(lines: Sequence[_Line]) -> list[Block]:
    by_study = {line.name: line.shares for line in lines if line.shares is not None}
    if not by_study:
        return []
    names = dict.fromkeys(row.name for shares in by_study.values() for row in shares.rows)
    cells = {
        name: {
            row.name: f"{row.quarter:.2f}"
            + (f" ({row.low:.2f} to {row.high:.2f})" if shares.best_quarter > 1 else "")
            for row in shares.rows
        }
        for name, shares in by_study.items()
    }
    rows = [[name, *(cells[study].get(name, "-") for study in by_study)] for name in names]
    kinds: list[list[str]] = []
    for kind in (*KINDS, "fusion"):
        sums = [_of_kind(shares, kind) for shares in by_study.values()]
        kinds.append([kind, *sums])
    caption = (
        "Weight times coefficient as a share of all coefficients of a trial, in the best quarter of the "
        "completed trials, with "
        "90 % intervals over these trials. Compare shares, not coefficients."
    )
    return [
        Table(
            "Kinds of information: sums of the shares below, in the best quarter and in the others.",
            ["kind", *by_study],
            kinds,
        ),
        Table(caption, ["coefficient", *by_study], rows),
    ]


def _of_kind(shares: Preferences, kind: Kind | str) -> str:
    of = [row for row in shares.rows if row.kind == kind]
    if not of:
        return "-"
    others = sum(row.others for row in of)
    return f"{sum(row.quarter for row in of):.2f} (others {'-' if math.isnan(others) else f'{others:.2f}'})"


def _agreement(lines: Sequence[_Line]) -> list[Block]:
    rows = []
    for line in lines:
        alone = {
            name.removeprefix("target/"): m
            for name, m in line.best.items()
            if name.startswith("target/") and name != "target/fusion"
        }
        whole = (
            {}
            if line.source is None
            else {
                name.removeprefix(f"{DECOMPOSED}subset/"): m
                for name, m in line.source.measured.items()
                if name.startswith(f"{DECOMPOSED}subset/")
            }
        )
        both = alone, {name: m for name, m in whole.items() if name in alone}
        rows.append([line.name, *map(_order, both), _same_order(*both)])
    caption = (
        "What each modality says about the label, from most to least: by the copula of the best trial's "
        "vectors, and by the networks of the decomposition, which are of other rows or other vectors. "
        "Where intervals overlap (~), the order is not known; it is the same if none of the pairs that both "
        "tell apart is the other way round."
    )
    head = ["study", "by copula", "by networks", "same order"]
    blocks: list[Block] = [Table(caption, head, rows)] if rows else []
    return [*blocks, *_chosen(lines)]


def _above(one: Measurement, other: Measurement) -> bool:
    """Whether the interval of ``one`` lies above that of ``other``; above what is saturated lies nothing."""
    if one.low is None or other.high is None or other.status == "saturated":
        return False
    return one.low > other.high


def _same_order(copula: Mapping[str, Measurement], networks: Mapping[str, Measurement]) -> str:
    """Whether two estimators put modalities in one order, as far as both tell them apart."""

    def apart(found: Mapping[str, Measurement]) -> set[tuple[str, str]]:
        sound = {name: m for name, m in found.items() if m.status not in ABSENT and not told_of(m)[1]}
        return {pair for pair in permutations(sound, 2) if _above(*(sound[name] for name in pair))}

    if "-" in (_order(copula), _order(networks)):
        return "-"
    ours, theirs = apart(copula), apart(networks)
    if ours & {(low, high) for high, low in theirs}:
        return "no"
    return "yes" if ours & theirs else "not known"


def _order(found: Mapping[str, Measurement]) -> str:
    """Modalities from most to least, and those that say nothing; ``-`` where fewer than two were measured."""
    known = {name: m for name, m in found.items() if m.status not in ABSENT and m.value is not None}
    if len(known) < 2:
        return "-"
    verdicts = {name: told_of(known[name]) for name in sorted(known)}
    told = {name: m.value for name, m in known.items() if verdicts[name][0] and m.value is not None}
    ordered = sorted(told, key=lambda name: -told[name])
    words = ordered[:1]
    for one, other in pairwise(ordered):
        words += [">" if _above(known[one], known[other]) else "~", other]
    order = " ".join(words)
    none = ", ".join(name for name, verdict in verdicts.items() if verdict == (False, False))
    unsure = ", ".join(name for name, (_, contradicted) in verdicts.items() if contradicted)
    parts = [order, f"nothing in {none}" if none else "", f"contradicted: {unsure}" if unsure else ""]
    return "; ".join(filter(None, parts))


def _chosen(lines: Sequence[_Line]) -> list[Block]:
    """Which estimators the best quarter of each study has."""
    cells: dict[str, dict[str, str]] = {}
    for line in lines:
        evidence = line.evidence
        quarter = math.ceil(len(evidence.completed) / 4)
        for p, axis in enumerate(evidence.axes):
            if axis.choices and axis.name.startswith(TERMS) and axis.name.endswith(_CHOICES):
                value_N = evidence.points[:quarter, p]
                counts = Counter(value_N[~np.isnan(value_N)].tolist())
                words = ", ".join(f"{axis.spoken(value)} {count}" for value, count in counts.most_common(3))
                cells.setdefault(axis.label, {})[line.name] = words or "-"
    if not cells:
        return []
    names = [line.name for line in lines]
    rows = [[label, *(of.get(name, "-") for name in names)] for label, of in cells.items()]
    return [
        Table(
            "Estimators in the best quarter of the completed trials, with the number of trials.",
            ["setting", *names],
            rows,
        )
    ]
