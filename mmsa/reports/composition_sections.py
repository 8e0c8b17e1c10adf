"""Sections of a study's report about information: that of the data set, and what coefficients ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mmsa.measurement import ABSENT, Measurement
from mmsa.reports.coefficients import Preferences
from mmsa.reports.composition import (
    DECOMPOSED,
    Bracket,
    bound_of_nothing,
    brackets_of,
    dominant_modality,
    entropy_bits,
    spoken_dominance,
    told_of,
)
from mmsa.reports.document import Block, Paragraph, Picture, Section, Table
from mmsa.reports.information_charts import rewarded_information
from mmsa.reports.naming import FEWEST_TRIALS
from mmsa.reports.sources import Composition, ghosts_for

CONTRADICTED = (
    " Contradicted: together, modalities read less than some of them alone, which cannot be; what is made "
    "of that is neither told from nothing nor nothing."
)


def levels_section(found: Preferences | None) -> Section:
    """The coefficients of information by level, as shares."""
    if found is None:
        return Section("Coefficients by level", [])
    rows = [
        [
            row.name,
            row.level,
            row.raises,
            *(f"{share:.2f}" for share in (row.default, row.best, row.quarter)),
            f"{row.low:.2f} to {row.high:.2f}" if found.best_quarter > 1 else "-",
            "-" if math.isnan(row.others) else f"{row.others:.2f}",
        ]
        for row in sorted(found.rows, key=lambda row: (row.level != "input", row.name))
    ]
    caption = (
        "Weight times coefficient, as a share of all coefficients of information in a trial; means over "
        f"the best quarter ({found.best_quarter}) of the {found.trials} completed trials that have any, with "
        "90 % intervals, and over the others. Terms that are not normalised are in the units of their "
        "estimators, and compare with themselves only."
    )
    head = ["coefficient", "level", "raises", "default", "best", "best quarter", "90 %", "others"]
    if found.rewarded:
        words = (
            f"By shares alone, the best quarter has more {found.rewarded} information than the others. That "
            "may be what the model lacked, and does not name what the data hold: on planted data most such "
            "findings were of another kind (benchmarks/headline)."
        )
    elif found.trials < FEWEST_TRIALS:
        words = (
            "Whether good trials have more of one kind of information takes "
            f"{FEWEST_TRIALS} completed trials with coefficients to say."
        )
    else:
        words = (
            "Shares alone do not name a kind of information: the best quarter has of none more than "
            "the others."
        )
    return Section("Coefficients by level", [Table(caption, head, rows), Paragraph(words)])


def composition_section(
    source: Composition | None,
    found: Preferences | None,
    best: Mapping[str, Measurement],
    study: str,
    can_be_divided: bool = True,
) -> Section:
    """What the data set rewards: by decomposition where there is one, else what each modality says alone."""
    title = "Information of the data set"
    if source is None:
        brackets = _alone(best)
        how: list[Block] = [
            Paragraph(
                "Which information modalities share, and which they have alone or together, needs a "
                "decomposition: half a minute for 1,000 rows."
            ),
            Paragraph(f"python launch/report.py --study {study} --measure", is_code=True),
        ]
        if not can_be_divided:
            how = [Paragraph("Of one modality, or about several labels at once, no information is divided.")]
        if not brackets:
            return Section(title, how if best else [])
        most = max(bracket.high for bracket in brackets) * 1.05
        picture = rewarded_information(
            brackets, {}, "information about the label, nats", "what each vector says", most
        )
        text = (
            "What each vector of the best trial says about the label, by the copula of its features, with 90 "
            "% intervals. Hollow: not more than nothing. Grey: what nothing gives."
        )
        return Section(title, [Picture(picture, text), *_measured(best), *how])
    measured = source.measured
    brackets, entropy = brackets_of(measured), entropy_bits(measured)
    if not brackets or entropy is None:
        return Section(
            title,
            [
                Paragraph(f"Of {source.origin} nothing could be measured: too few rows or groups."),
                *_measured(best),
            ],
        )
    ghosts, which = ghosts_for(source.rows)
    picture = rewarded_information(
        brackets, ghosts, "share of H(label)", "information of the data set by kind", 1.0
    )
    ghost = (
        f" Small grey frames: the same of planted data with a third of each kind, {which}." if which else ""
    )
    text = (
        f"{source.origin}; H(label) = {entropy:.2f} bits, {source.rows} rows of {source.groups} groups. "
        "Bars: from the least to the "
        "most that is possible; lines: 90 % intervals over groups; hollow: not more than nothing."
        + ghost
        + " Bars overlap, and are never to be added up."
    )
    rows = [[f"{b.part}: {b.members}", *_bracket_cells(b)] for b in brackets]
    table = Table(
        "The same in numbers: shares of H(label). Nothing is less than 0, so estimates below it are shown as "
        "0. Perhaps: the most is more than nothing, the least is not."
        + (CONTRADICTED if any(b.contradicted for b in brackets) else ""),
        ["information", "least", "most", "90 % interval", "more than nothing"],
        rows,
    )
    return Section(title, [Paragraph(_named(source, found)), Picture(picture, text), table, *_measured(best)])


def _bracket_cells(bracket: Bracket) -> list[str]:
    least, most = sorted(max(0.0, end) for end in (bracket.least, bracket.most))
    low, high = max(0.0, bracket.low), max(0.0, bracket.high)
    is_point = bracket.part in ("alone", "total")
    sure = "yes" if is_point or bracket.low > 0 else "perhaps"
    verdict = "contradicted" if bracket.contradicted else sure if bracket.told else "no"
    return [f"{least:.3f}", f"{most:.3f}", f"{low:.3f} to {high:.3f}", verdict]


def _named(source: Composition, found: Preferences | None) -> str:
    """Which kind and which modality are named, and what good trials have more of."""
    dominant = spoken_dominance(dominant_modality(source.measured), source.measured)
    told = [
        f"Dominant kind: {source.kind}.",
        f"Dominant modality, by what it adds to all others: {dominant}.",
    ]
    if found is not None and found.rewarded:
        told.append(
            f"The best trials have more of the {found.rewarded} coefficients than the others; of planted "
            "data that was no sign of what they hold (docs/which-information.md)."
        )
    return " ".join(told)


def _alone(best: Mapping[str, Measurement]) -> list[Bracket]:
    return [
        Bracket(
            "alone",
            name.removeprefix("target/"),
            m.value,
            m.value,
            m.low,
            m.high,
            bound_of_nothing(m),
            told,
            m.status == "saturated",
            contradicted,
        )
        for name, m in best.items()
        for told, contradicted in [told_of(m)]
        if name.startswith("target/")
        and m.status not in ABSENT
        and m.value is not None
        and m.low is not None
        and m.high is not None
    ]


def _measured(best: Mapping[str, Measurement]) -> list[Block]:
    rows = []
    for name, m in best.items():
        if name.startswith(DECOMPOSED):
            continue
        known = m.value is not None and m.low is not None and m.high is not None
        value = f"{m.value:.3f} ({m.low:.3f} to {m.high:.3f})" if known else "-"
        bound = bound_of_nothing(m)
        null = "-" if bound is None else f"{bound:.3f}"
        rows.append([name, value, null, m.status.replace("_", " "), m.estimator or "-"])
    if not rows:
        return []
    caption = (
        "Measured on the vectors of the best trial on valid, in nats, with 90 % intervals. Where the status "
        "is saturated the truth may be far above; where it is below null, or its interval reaches 0, "
        "no information was found. Where "
        "nothing is given that the value is more than (-), another reading was tested, or it is a sum: the "
        "intervals of sums are those of their parts added up, and a sum is ok if one of its parts is."
    )
    return [Table(caption, ["information", "value", "nothing gives", "status", "estimator"], rows)]
