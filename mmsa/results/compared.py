"""The result of a comparison of configurations: on valid, on test, and as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmsa.interface import PairedDifference, decimals, signed
from mmsa.results.retrained import opening_lines
from mmsa.results.verdict import RACE_AFTER, Verdict
from mmsa.tracking.compared import ComparisonCard
from mmsa.training.constants import Constant, short_of

COMPARED = "compared"
"""Folder of comparisons, in the folder of runs."""
RESULT, PAGE = "compare.json", "compare.md"

_FEW_GROUPS = 20


@dataclass(frozen=True)
class EarlierComparison:
    """What a comparison came to that was made before.

    Attributes:
        text: the verdict, in words.
        take: the configuration that was taken.
        trial: of it; None for defaults that no trial completed.
        trials: that were compared.
        models: what was trained: the digest of each configuration, and its seeds.
        num_seeds: fresh seeds of those that stayed in the race.
        test: what test said; None if it was not opened.
    """

    text: str
    take: str
    trial: int | None
    trials: Sequence[int]
    models: Sequence[tuple[str, Sequence[int]]]
    num_seeds: int
    test: OpenedTest | None

    @classmethod
    def of(cls, runs: Path, study: str) -> EarlierComparison | None:
        """The last comparison of a study; None if there is none, or of another version of mmsa."""
        try:
            stored = json.loads((runs / COMPARED / study / RESULT).read_text(encoding="utf-8"))
            trial_of = {config["name"]: config["trial"] for config in stored["configs"]}
            take = stored["verdict"]["take"]
            return cls(
                text=str(stored["verdict"]["text"]),
                take=take,
                trial=trial_of[take],
                trials=[trial for trial in trial_of.values() if trial is not None],
                models=[(config["config_digest"], config["seeds"]) for config in stored["configs"]],
                num_seeds=len(stored["seeds"]),
                test=OpenedTest.from_dict(stored["test"]) if stored["test"] else None,
            )
        except (OSError, ValueError, LookupError, TypeError):
            return None


@dataclass(frozen=True)
class ComparedConfig:
    """A configuration and what its fresh seeds gave on valid.

    Attributes:
        name: ``trial 7``, or ``defaults``.
        trial: its number; None for defaults that no trial completed.
        config_digest: of the configuration without its seed.
        params: what was chosen for it.
        seeds: fresh ones, the same for all as far as they go.
        by_seed: metrics of each seed, by name; empty if one diverged.
        means: of the metrics over the seeds, with 95 % intervals over videos and seeds.
        searched: what the search saw of the metric that decides, with the seed that it selected by; None
            where that is not known.
        parameters: how many numbers are trained.
        changes: settings that differ from the defaults.
        left_race: whether it was so far behind after the first seeds that it got no more.
        diverged: why one of its seeds has no model; empty if none diverged. It cannot win then.
        further: metrics of each seed of targets beside the primary one, by ``<target>/<metric>``.
    """

    name: str
    trial: int | None
    config_digest: str
    params: Mapping[str, str]
    seeds: Sequence[int]
    by_seed: Mapping[str, Sequence[float]]
    means: Mapping[str, PairedDifference]
    searched: float | None
    parameters: int
    changes: int
    left_race: bool = False
    diverged: str = ""
    further: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenedTest:
    """What one opening of test gave for all compared configurations.

    Attributes:
        opening: its identifier in the ledger.
        date: of it.
        test_digest: SHA-256 of the split.
        num_rows: of the split.
        num_groups: its videos or speakers.
        means: of each metric over the seeds, by configuration, with 95 % intervals over videos and seeds.
        by_seed: metrics of each seed, by configuration.
        gains: by how much the configuration that was taken is better than each other one, by metric.
        constants: best constant predictor by metric.
        earlier: number of earlier openings for the study.
        elsewhere: earlier openings of any of the rows for others, by study; of no study under "".
        take: the configuration that was taken, before test was opened.
        chosen_on_test: the configuration with the best mean on test, which nobody may choose by.
        best_single: configuration and seed of the best single model on test.
        further: metrics of each seed of targets beside the primary one, by configuration.
    """

    opening: str
    date: str
    test_digest: str
    num_rows: int
    num_groups: int
    means: Mapping[str, Mapping[str, PairedDifference]]
    by_seed: Mapping[str, Mapping[str, Sequence[float]]]
    gains: Mapping[str, Mapping[str, PairedDifference]]
    constants: Mapping[str, Constant]
    earlier: int
    elsewhere: Mapping[str, int]
    take: str
    chosen_on_test: str
    best_single: tuple[str, int]
    further: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OpenedTest:
        """The inverse of ``dataclasses.asdict``, after a way through JSON."""

        def paired(nested: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, PairedDifference]]:
            return {
                name: {metric: PairedDifference(**value) for metric, value in of_one.items()}
                for name, of_one in nested.items()
            }

        read = {
            "means": paired(values["means"]),
            "gains": paired(values["gains"]),
            "constants": {metric: Constant(**value) for metric, value in values["constants"].items()},
            "best_single": tuple(values["best_single"]),
        }
        return cls(**{**values, **read})


@dataclass(frozen=True)
class Comparison:
    """Configurations of a study over fresh seeds.

    Attributes:
        study: its name.
        data_set: its data.
        metric: that decides, without a prefix.
        lower: whether less of it is better.
        num_rows: rows of valid.
        num_groups: videos or speakers of valid.
        seeds: that every configuration in the race has.
        configs: best first by the search, the defaults last.
        verdict: on valid.
        constant: the best constant predictor on valid by the metric; None where that has no such value.
        test: what test said, once; None while it is closed.
        tested: what the study began with that had seen test, in words.
    """

    study: str
    data_set: str
    metric: str
    lower: bool
    num_rows: int
    num_groups: int
    seeds: Sequence[int]
    configs: Sequence[ComparedConfig]
    verdict: Verdict
    constant: Constant | None = None
    test: OpenedTest | None = None
    tested: Sequence[str] = ()

    def overtuning(self, config: ComparedConfig) -> float | None:
        """By how much the value that the search selected by is better than the mean of fresh seeds."""
        if config.searched is None or config.diverged:
            return None
        fresh = config.means[self.metric].value
        return fresh - config.searched if self.lower else config.searched - fresh

    def card(self, data_name: str) -> ComparisonCard:
        """What MLflow is told.

        Args:
            data_name: of the data set in the configuration, which names the experiment.
        """
        take = self.verdict.take
        taken = next(config for config in self.configs if config.name == take)
        tags = {"verdict": self.verdict.kind, "take": take, "trial": taken.trial}
        metrics = {f"valid/{name}": mean.value for name, mean in taken.means.items()}
        if self.test is not None:
            tags["opening"] = self.test.opening
            metrics |= {f"test/{name}": mean.value for name, mean in self.test.means[take].items()}
        return ComparisonCard(
            data_set=data_name,
            study=self.study,
            tags={name: str(value) for name, value in tags.items() if value is not None},
            metrics=metrics,
            # The lines of a long heading lie on each other in MLflow, and bold ones do not.
            page=re.sub(r"\A# (.*)", r"**\1**", self.markdown()),
            result=json.dumps(self.to_dict(), indent=2) + "\n",
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything that JSON can hold, intervals and overtuning included."""
        values = asdict(self)
        values["verdict"]["text"] = self.verdict.text()
        for name, rival in self.verdict.rivals.items():
            low, high = rival.gain.interval()
            values["verdict"]["rivals"][name]["gain"] |= {
                "low": low,
                "high": high,
                "resolution": rival.gain.resolution,
            }
        for record, config in zip(values["configs"], self.configs, strict=True):
            record["overtuning"] = self.overtuning(config)
        return values

    def markdown(self) -> str:
        """The comparison as a page: the verdict, tables, and how to read them."""
        return (
            "\n".join(
                [*self._head(), "", *self._table(), "", *self._further(), *self._notes(), *self._test()]
            )
            + "\n"
        )

    def _head(self) -> Iterator[str]:
        verdict = self.verdict
        yield f"# {self.study}: {verdict.text()}"
        yield ""
        yield (
            f"By the mean of `valid/{self.metric}` over {len(self.seeds)} fresh seeds, the same for all, on "
            f"{self.num_rows} rows of {self.num_groups} videos or speakers of {self.data_set}; the values "
            "that the search selected by do not count."
        )

    def _table(self) -> list[str]:
        best = self.verdict.best
        head = ["configuration", "seeds", "mean ± sd", "95 % interval", f"{best} is better by"]
        head += [f"one run of {best} wins", "search said", "overtuning"]
        rows = [[*self._cells(config)] for config in self.configs]
        return _table(head, rows)

    def _cells(self, config: ComparedConfig) -> Iterator[str]:
        yield config.name
        if config.diverged:
            yield f"{len(config.seeds)}, diverged"
            yield from ["-"] * 6
            return
        yield f"{len(config.seeds)}" + (", left the race" if config.left_race else "")
        values, mean = config.by_seed[self.metric], config.means[self.metric]
        yield f"{decimals(mean.value)} ± {decimals(float(np.std(values, ddof=1)))}"
        yield f"{decimals(mean.low)} to {decimals(mean.high)}"
        rival = self.verdict.rivals.get(config.name)
        yield "-" if rival is None else _signed(rival.gain.paired())
        yield "-" if rival is None else "{:.0%} [{:.0%}, {:.0%}]".format(*rival.improvement)
        yield "-" if config.searched is None else decimals(config.searched)
        overtuning = self.overtuning(config)
        yield "-" if overtuning is None else signed(overtuning)

    def _further(self) -> Iterator[str]:
        yield from _further_table({config.name: config.further for config in self.configs})

    def _notes(self) -> Iterator[str]:
        verdict = self.verdict
        nearest = next(iter(verdict.rivals))
        gain = verdict.rivals[nearest].gain
        yield (
            f"- These seeds and videos resolve a difference of {decimals(gain.resolution)} between "
            f"{verdict.best} and {nearest} (in 80 of 100 such studies); "
            f"that of {signed(gain.value)} was found."
        )
        floor = gain.groups_error / gain.error if gain.error else 0.0
        yield (
            f"- The videos alone make {floor**2:.0%} of its variance: with any number of seeds the "
            f"resolution stays above {decimals(gain.resolution * floor)}."
        )
        if self.constant is not None:
            best = next(config for config in self.configs if config.name == verdict.best)
            mean = best.means[self.metric]
            worse_end = mean.high if self.lower else mean.low
            floor_text = short_of(self.metric, mean.value, worse_end, self.constant)
            yield (
                f"- {verdict.best} is {floor_text}."
                if floor_text
                else f"- The best constant, the {self.constant.name} of train for every row, has "
                f"{decimals(self.constant.value)}."
            )
        meters = {config.name: self.overtuning(config) for config in self.configs}
        known = [value for value in meters.values() if value is not None]
        if known:
            yield (
                f"- Overtuning: what the search saw was better than fresh seeds by "
                f"{signed(float(np.mean(known)))} on average. "
                "Epochs are chosen on valid here too, for all alike; how good they are, test says."
            )
        for config in self.configs:
            if config.params:
                chosen = ", ".join(f"{path} {value}" for path, value in config.params.items())
                yield f"- {config.name}: {config.parameters:,} parameters; {chosen}"
            if config.diverged:
                yield f"- {config.name} cannot win: one of its seeds diverged ({config.diverged})"
        yield from (f"- {line}." for line in self.tested)
        if any(config.left_race for config in self.configs):
            yield (
                f"- Left the race: the whole 99 % interval behind the best after {RACE_AFTER} seeds; "
                "compared with the seeds it has."
            )
        yield (
            "- Intervals: the crossed bootstrap, over videos (the same for all) and seeds (each "
            "configuration's own). A winner beats every other one by its 95 % interval."
        )
        if self.num_groups < _FEW_GROUPS:
            yield f"- {self.num_groups} groups are few: take these intervals as a lower limit of the doubt."

    def _test(self) -> Iterator[str]:
        test = self.test
        yield ""
        if test is None:
            yield "Test is closed: nothing here was chosen or measured on it."
            return
        yield f"## Test, opened once for all on {test.date}"
        yield ""
        head = ["configuration", *test.means[test.take], f"{test.take} is better by ({self.metric})"]
        rows = [
            [
                name,
                *(
                    f"{decimals(mean.value)} [{decimals(mean.low)}, {decimals(mean.high)}]"
                    for mean in means.values()
                ),
                _signed(test.gains[name][self.metric]) if name in test.gains else "-",
            ]
            for name, means in test.means.items()
        ]
        constants = [decimals(test.constants[m].value) if m in test.constants else "-" for m in head[1:-1]]
        yield from _table(head, [*rows, ["best constant", *constants, "-"]])
        yield ""
        yield from _further_table(test.further)
        yield from (f"- {line}." for line in self._audit(test))
        yield from (f"- {line}." for line in opening_lines(self.study, test.earlier, _by_study(test)))

    def _audit(self, test: OpenedTest) -> Iterator[str]:
        """What choosing on test would have claimed."""
        yield f"{test.num_rows} rows of {test.num_groups} videos or speakers; the verdict stood before"
        honest = test.means[test.take][self.metric].value
        by_mean = test.means[test.chosen_on_test][self.metric].value
        name, seed = test.best_single
        position = next(list(c.seeds) for c in self.configs if c.name == name).index(seed)
        single = test.by_seed[name][self.metric][position]
        sign = 1.0 if self.lower else -1.0
        yield (
            f"What choosing on test would have claimed: {self.metric} {decimals(by_mean)} by "
            f"{test.chosen_on_test} and {decimals(single)} by the best single model ({name}, seed {seed}), "
            f"which is {signed(sign * (honest - by_mean))} and {signed(sign * (honest - single))} "
            f"better than what {test.take}, chosen on valid, has: {decimals(honest)}"
        )


def _by_study(test: OpenedTest) -> dict[str | None, int]:
    """Openings for others, with None for configurations of no study, which JSON cannot have as a key."""
    return {study or None: count for study, count in test.elsewhere.items()}


def _signed(difference: PairedDifference) -> str:
    return f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]"


def _further_table(by_config: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[str]:
    """Metrics of further targets, one a line; nothing without any."""
    known = {name: metrics for name, metrics in by_config.items() if metrics}
    if not known:
        return

    def cell(values: Sequence[float] | None) -> str:
        if values is None:  # a configuration that is not trained for that target
            return "-"
        return f"{decimals(float(np.mean(values)))} ± {decimals(float(np.std(values, ddof=1)))}"

    yield "The other targets that are trained for, mean ± sd over seeds; they decide nothing:"
    yield ""
    metrics = dict.fromkeys(metric for of in known.values() for metric in of)
    rows = [[metric, *(cell(of.get(metric)) for of in known.values())] for metric in metrics]
    yield from _table(["metric", *known], rows)
    yield ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A markdown table with its columns aligned, so that it reads well in a terminal too."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    return [written[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *written[1:]]
