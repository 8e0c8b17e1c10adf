"""Published methods on CMU-MOSI, all on the same frozen features: at their defaults, and after a search each.

For every method and setting (``methods.py``): a search of 24 trials that sees train and valid, then the
defaults and the best trial retrained over 3 seeds, which opens test once for each of the two. What is
finished stays in the folder of runs, and the same command goes on with the rest. Writes the tables of
``docs/comparison.md``.

    MMSA_DATA=<folder with mosi_utterance.npz> python benchmarks/comparison/comparison.py
    ... --settings official --methods mmim mimrl        # a part; parts may run side by side in one --runs
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from methods import METHODS, SETTINGS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from figures import Figure, record

from mmsa.results.export import export
from mmsa.results.exported import Exported
from mmsa.results.retrain import retrain
from mmsa.results.retrained import RetrainReport
from mmsa.results.statistics import Interval
from mmsa.search.execution.cluster import ray_cluster
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.search.study.view import StudyView, read_study

SEEDS = 3
METRICS = {"mae": "lower", "pearson": "higher", "acc2_negative_positive": "higher"}
KINDS = {"defaults": 0, "searched": None}
"""Which trial of a search is retrained; None is the best."""
DOCS = Path(__file__).resolve().parents[2] / "docs" / "comparison.md"
MARK = "<!-- What follows is written by benchmarks/comparison/comparison.py. -->\n"


@dataclass(frozen=True)
class Result:
    """A frozen configuration on test.

    trial: of the search; 0 is the defaults. valid: MAE by which the epoch was chosen, averaged over seeds.
    intervals, deviations: of each test metric averaged over seeds, and its standard deviation over them.
    """

    trial: int
    valid: float
    intervals: Mapping[str, Interval]
    deviations: Mapping[str, float]
    videos: int

    @classmethod
    def of(cls, report: RetrainReport) -> Result:
        trial = report.opening.trial
        assert trial is not None
        valid = float(np.mean([seed.metrics["valid/mae"] for seed in report.fresh]))
        intervals = {name: report.intervals[name] for name in METRICS}
        deviations = {name: report.deviation(name) or 0.0 for name in METRICS}
        return cls(trial, valid, intervals, deviations, report.num_groups)

    @classmethod
    def load(cls, path: Path) -> Result:
        values = json.loads(path.read_text(encoding="utf-8"))
        intervals = {name: Interval(**interval) for name, interval in values.pop("intervals").items()}
        return cls(intervals=intervals, **values)

    def save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        partial.replace(path)

    def written(self, metric: str) -> str:
        """For a table."""
        interval = self.intervals[metric]
        mean = f"{interval.estimate:.3f} ± {self.deviations[metric]:.3f}"
        return f"{mean} ({interval.low95:.3f} to {interval.high95:.3f})"

    def figures(self, name: str) -> Iterator[tuple[str, Figure]]:
        for metric, better in METRICS.items():
            interval = self.intervals[metric]
            reference = (
                f"sd {self.deviations[metric]:.4f} over seeds; 95 % interval {interval.low95:.4f} to "
                f"{interval.high95:.4f} over {self.videos} videos; trial {self.trial}; "
                f"valid/mae {self.valid:.4f}"
            )
            value = round(interval.estimate, 4)
            yield f"{name}/{metric}", Figure(value, f"mean of {SEEDS} seeds", reference, better=better)  # type: ignore[arg-type]


def study_name(setting: str, method: str) -> str:
    return f"{setting}-{method}".replace("_", "-")


def searched(setting: str, method: str, options: SearchOptions) -> StudyView:
    """The study after its search."""
    name = study_name(setting, method)
    summary = run_search(METHODS[method].study(name, SETTINGS[setting]), options, [], print)
    if summary.interrupted:
        sys.exit(f"{name}: interrupted; the same command goes on")
    return read_study(name, options.runs)


def compare(setting: str, method: str, options: SearchOptions) -> None:
    """Search, freeze, and only then open test."""
    files = {kind: result_file(options.runs, setting, method, kind) for kind in KINDS}
    study = searched(setting, method, options)
    exports = {
        kind: export(study, options.runs / f"{study.name}-{kind}.yaml", trial)
        for kind, trial in KINDS.items()
    }
    for kind, exported in exports.items():
        if kind == "searched" and exported.config == exports["defaults"].config:
            Result.load(files["defaults"]).save(files[kind])
        elif not files[kind].exists():
            Result.of(on_test(exported, options.runs)).save(files[kind])


def on_test(exported: Exported, runs: Path) -> RetrainReport:
    report = retrain(exported, num_seeds=SEEDS, overrides={}, runs=runs, say=lambda _: None)
    print(report.text(), flush=True)
    return report


def result_file(runs: Path, setting: str, method: str, kind: str) -> Path:
    return runs / f"{study_name(setting, method)}-{kind}.json"


def table(setting: str, kind: str, results: Mapping[str, Result]) -> str:
    """Markdown, the best on valid first: test did not order it."""
    lines = [
        f"\n## {setting}, {kind}\n",
        "| method | valid MAE | " + " | ".join(f"test {metric}" for metric in METRICS) + " |",
        "|---" * (2 + len(METRICS)) + "|",
    ]
    for method, result in sorted(results.items(), key=lambda item: item[1].valid):
        cells = " | ".join(result.written(metric) for metric in METRICS)
        lines.append(f"| `{method}` | {result.valid:.3f} | {cells} |")
    missing = [f"`{method}`" for method in METHODS if method not in results]
    unfinished = [f"Not finished: {', '.join(missing)}."] if missing else []
    return "\n".join([*lines, "", verdict(results), *unfinished, ""])


def verdict(results: Mapping[str, Result]) -> str:
    """Whether the 95 % interval of the lowest MAE lies below all others."""
    mae = {method: result.intervals["mae"] for method, result in results.items()}
    if len(mae) < 2:
        return ""
    first = min(mae, key=lambda method: mae[method].estimate)
    high = mae[first].high95
    rivals = [
        method
        for method, interval in mae.items()
        if method != first and (high is None or interval.low95 is None or interval.low95 <= high)
    ]
    if rivals:
        return f"No winner in MAE: {len(rivals)} of {len(mae) - 1} intervals overlap with that of `{first}`."
    return f"`{first}` has the lowest MAE, and no interval of another overlaps with its own."


def finished(runs: Path, setting: str, kind: str) -> dict[str, Result]:
    files = {method: result_file(runs, setting, method, kind) for method in METHODS}
    return {method: Result.load(file) for method, file in files.items() if file.exists()}


def report(runs: Path) -> None:
    """Write what is finished into the results and the documentation."""
    figures: dict[str, Figure] = {}
    tables = []
    for setting, kind in product(SETTINGS, KINDS):
        results = finished(runs, setting, kind)
        tables.append(table(setting, kind, results))
        for method, result in results.items():
            figures |= result.figures(f"{setting}/{method}/{kind}")
    DOCS.write_text(DOCS.read_text(encoding="utf-8").partition(MARK)[0] + MARK + "\n".join(tables), "utf-8")
    print(record("comparison", figures), DOCS, sep="\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/comparison"))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--cpus", type=int, default=2, help="trials at once (default: 2)")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    args.runs.mkdir(parents=True, exist_ok=True)
    options = SearchOptions(args.runs, cpus=args.cpus)
    due = [
        (setting, method)
        for method, setting in product(args.methods, args.settings)
        if not all(result_file(args.runs, setting, method, kind).exists() for kind in KINDS)
    ]
    if due:
        with ray_cluster(cpus=args.cpus):
            for setting, method in due:
                compare(setting, method, options)
    report(args.runs)


if __name__ == "__main__":
    main()
