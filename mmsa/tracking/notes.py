"""Notes above a page of MLflow: the verdict in the first 200 characters, since the rest is folded away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from mmsa.interface import VALID, ReferencePoint, StudyCard, TrialCard, decimals, short, signed
from mmsa.ranking import ranked, references_ahead
from mmsa.tracking.artifacts import count_outcomes

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE = "mlflow.note.content"
_OURS = "mmsa.note_digest"
"""Tag with the digest of the note that was written last: one that somebody else changed is theirs."""
_LONGEST = 8000  # characters of a tag


def write_run_note(client: MlflowClient, run_id: str, text: str) -> None:
    """Write the note of a run, unless somebody else wrote it."""
    tags = client.get_run(run_id).data.tags
    for name, value in changed_note(tags, text).items():
        client.set_tag(run_id, name, value)


def write_experiment_note(client: MlflowClient, experiment: str, text: str) -> None:
    """Write the note of an experiment, unless somebody else wrote it."""
    tags = client.get_experiment(experiment).tags
    for name, value in changed_note(tags, text).items():
        client.set_experiment_tag(experiment, name, value)


def changed_note(tags: Mapping[str, str], text: str) -> dict[str, str]:
    """The tags to set for a note; none if it stands there, or somebody else wrote the one that does."""
    known, text = tags.get(NOTE, ""), text[:_LONGEST]
    if known == text or (known and tags.get(_OURS) != _digest(known)):
        return {}
    return {_OURS: _digest(text), NOTE: text}


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def verdict(study: StudyCard, trials: Sequence[TrialCard]) -> str:
    """Which trial is best, how sure its value is, and what it is compared with; under 200 characters."""
    metric = study.metrics[0]
    best = next(iter(ranked(trials, study.directions)), None)
    if best is None:
        return f"**No trial has completed yet** by {metric}."
    value = best.values[0]
    said = f"**Best: trial {best.number}, {metric} {decimals(value)}**"
    if best.violation:
        said = f"**No trial keeps the bounds.** Nearest: trial {best.number}, {metric} {decimals(value)}"
    if best.margin:
        said += f"{best.margin} (95 %)"
    constant = study.constants.get(metric)
    if constant is not None:
        said += f", a constant {decimals(constant)}"
    ahead = references_ahead(study.references, metric, study.directions[0], value)
    rival = f", behind {ahead[0].spoken} {decimals(ahead[0].metrics[metric])}" if ahead else ""
    rival = rival or _rival(study.references, metric, best.number)
    return f"{said}{rival}."


def _rival(references: Iterable[ReferencePoint], metric: str, best: int) -> str:
    """The reference point over which the best trial gains least."""
    gains = [
        (point.gains[metric], point)
        for point in references
        if metric in point.gains and point.compared_with == best
    ]
    if not gains:
        return ""
    gain, point = min(gains, key=lambda pair: pair[0].value)
    if gain.low > 0:
        return ", better than every reference point"
    sure = "worse than" if gain.high < 0 else "not surely better than"
    return f", {sure} {point.spoken}"


def study_note(study: StudyCard, trials: Sequence[TrialCard], pages: Mapping[str, str]) -> str:
    """The note of a study's run.

    Args:
        study: as it stands.
        trials: of it.
        pages: addresses on the same server, by name.
    """
    counts = ", ".join(
        f"{count} {outcome.replace('_', ' ')}" for outcome, count in count_outcomes(trials).items() if count
    )
    lines = [
        verdict(study, trials),
        "",
        f"Study `{study.name}` on {study.data_set}: {len(trials)} of {study.num_trials} trials"
        f" ({counts or 'none yet'}), by {' and '.join(study.metrics)} of valid; a search leaves test alone.",
        "",
        "Pages: " + " · ".join(f"[{name}]({address})" for name, address in pages.items()),
        "",
    ]
    if tested := study.tags.get("tested"):
        lines += [f"What it began with: {tested}.", ""]
    order = ranked(trials, study.directions)[:5]
    if order:
        lines += [
            _row("trial", f"{study.metrics[0]} ± 95 %", "epoch", "settings"),
            _row("---", "---:", "---:", "---"),
        ]
        lines += [_trial_row(trial) for trial in order]
        lines.append("")
    if study.references:
        lines += [_row("compared with", study.metrics[0], "gain of the best trial, 95 %")]
        lines += [_row("---", "---:", "---")]
        lines += [_reference_row(point, study.metrics[0]) for point in study.references]
        lines.append("")
    lines.append("Tables: `trials.csv`, `references.csv`, and `space.yaml` and `best.yaml` to repeat it.")
    return "\n".join(lines)


def _trial_row(trial: TrialCard) -> str:
    params = ", ".join(f"`{path}` {short(value)}" for path, value in trial.params.items())
    return _row(trial.number, f"{decimals(trial.values[0])}{trial.margin}", trial.best_epoch or "", params)


def _reference_row(point: ReferencePoint, metric: str) -> str:
    value, gain = point.metrics.get(metric), point.gains.get(metric)
    shown = point.outcome if value is None else decimals(value)
    gained = "" if gain is None else f"{signed(gain.value)} ({signed(gain.low)} to {signed(gain.high)})"
    return _row(point.spoken, shown, gained)


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def experiment_note(data_set: str, studies: Mapping[str, tuple[str, str]]) -> str:
    """The note of an experiment: what its studies came to.

    Args:
        data_set: its name.
        studies: address and verdict of each study, the latest first.
    """
    latest = next(iter(studies.items()), None)
    head = f"Studies of {data_set}." if latest is None else f"`{latest[0]}`: {latest[1][1]}"
    rows = [f"- [{name}]({address}): {said}" for name, (address, said) in studies.items()]
    return "\n".join([head, "", f"All studies of **{data_set}**, values of valid:", "", *rows])


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a markdown table."""
    return [_row(*head), _row(*("---" for _ in head)), *(_row(*cells) for cells in rows)]


def metrics_table(names: Iterable[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines of a markdown table with a metric a row."""
    return [
        _row("metric", *names),
        _row("---", *("---:" for _ in names)),
        *(_row(name.removeprefix(VALID), *cells) for name, cells in rows.items()),
    ]
