"""What MLflow's pages say of a retraining and of the model that came out of it, in markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mmsa.interface import counted, decimals
from mmsa.results.retrained import RetrainReport
from mmsa.tracking.notes import metrics_table
from mmsa.tracking.registered import example_of
from mmsa.training.constants import best_constants

_LONGEST_CELL = 200  # characters


def result_note(report: RetrainReport, table: Sequence[Mapping[str, object]]) -> str:
    """The result on test, the verdict in the first 200 characters.

    Args:
        report: of the retraining.
        table: see ``test_table``.
    """
    return "\n".join([_verdict(report), "", _about(report), "", *_rows(table)])


def _verdict(report: RetrainReport) -> str:
    """The first metric on test with its interval, and what it has to beat; under 200 characters."""
    name, interval = next(iter(report.intervals.items()))
    constant = best_constants(report.constants)[name]
    between = _between(interval.low95, interval.high95)
    opened = "the first look at test" if report.earlier == 0 else f"look {report.earlier + 1} at test"
    return (
        f"**Test {name} {decimals(interval.estimate)}{between}** over "
        f"{counted(len(report.fresh), 'fresh seed')}; "
        f"the {constant.name} of train {decimals(constant.value)}; {opened}."
    )


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({decimals(low)} to {decimals(high)})"


def _about(report: RetrainReport) -> str:
    opening = report.opening
    origin = "a configuration of no study"
    if opening.study is not None:
        origin = f"trial {opening.trial} of study `{opening.study}`"
    return (
        f"From {origin} on {opening.data_set}: {report.num_rows} rows of {report.num_groups} groups. "
        "Intervals are 95 %, by drawing whole groups of test. Registered is the seed that is best on valid, "
        f"{report.best_on_valid.seed}."
    )


def _rows(table: Sequence[Mapping[str, object]]) -> list[str]:
    def cell(value: object) -> str:
        return decimals(value) if isinstance(value, float) else "-"

    head = ("mean", "sd of seeds", "95 % interval", "best constant")
    rows = {
        str(row["metric"]): (
            cell(row["mean"]),
            cell(row["sd_over_seeds"]),
            f"{cell(row['low95'])} to {cell(row['high95'])}",
            f"{cell(row['constant'])} ({row['constant_is']})",
        )
        for row in table
    }
    return metrics_table(head, rows)


def how_to_ask(report: RetrainReport) -> str:
    """A snippet that works as it stands, and the same over HTTP; ``{model}`` is the version."""
    row = example_of(report.kinds, report.widths)
    cells = []
    for name, kind in report.kinds.items():
        shown = f"[[0.0] * {report.widths[name]}] * 2" if kind == "features" else repr(row[name])
        cells.append(f'    "{name}": {shown},')
    says = {"features": "frames: a list of lists, time by", "strings": "text", "tokens": "token ids"}
    shapes = [
        f"- `{name}`: {says[kind]}{f' {report.widths[name]}' if kind == 'features' else ''}"
        for name, kind in report.kinds.items()
    ]
    return "\n".join(
        [
            "A row has a cell for each modality (an empty list where it has none of it):",
            "",
            *shapes,
            "",
            "```python",
            "import mlflow",
            "",
            'model = mlflow.pyfunc.load_model("{model}")',
            "row = {",
            *cells,
            "}",
            "print(model.predict([row]))",
            "```",
            "",
            "Over HTTP: `mlflow models serve -m {model} --env-manager local --port 5001`, then",
            "",
            "```",
            "curl -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations \\",
            f"  -d '{json.dumps({'dataframe_records': [_short(row)]})}'",
            "```",
            "",
            "With the spread of all seeds: `python launch/predict.py`.",
        ]
    )


def _short(row: Mapping[str, object]) -> dict[str, object]:
    """The example with rows that stay on a line: wide frames are left out, which is a row without them."""
    return {
        name: [] if isinstance(cell, list) and len(str(cell)) > _LONGEST_CELL else cell
        for name, cell in row.items()
    }
