"""Does a search of the coefficients find what is there? Planted data whose composition is known.

For every family of data, size and draw (``compositions.py``): a study whose coefficients are searched and
what its trials say (``naming.py``), then its three rivals (``studies.py``) and a fresh test of the best trial
of each. What a report names is measured by ``named.py``. The protocol is in README.md. Studies stay in
``--out`` and what is known of a draw in ``draws/``; the same command goes on with the rest. Figures are
recorded once all draws of a size are there, and never of fewer trials than the protocol has.

    python benchmarks/headline/headline.py --minutes 9                      # again and again until it is done
    ... --families private --sizes 686 --draws 1 --trials 6                 # a look; records nothing
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from composition import mean_and_interval
from compositions import FAMILIES, private_modality, synergy_of
from figures import Figure, record
from named import of_names
from studies import ARMS, LEVELS, RATES, SIZES, STARTUP, TRIALS, Arm, study, study_name

from mmsa.config import with_overrides
from mmsa.data import open_corpus
from mmsa.data.corpus import MODALITIES, Split
from mmsa.experiment import RunConfig
from mmsa.information import decompose
from mmsa.information.target import FAST
from mmsa.reports.composition import amounts_in
from mmsa.reports.naming import KINDS, Amount, Kind, best_quarter, held_kind, rewarded_kind
from mmsa.search.costs import SearchBudget
from mmsa.search.execution.cluster import ray_cluster
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.search.records import TrialRecord
from mmsa.search.study.view import StudyView, read_study
from mmsa.seeding import derive_seed
from mmsa.training import Result, run

README = Path(__file__).with_name("README.md")
FINISHED = Path(__file__).with_name("draws")
"""Draws of the protocol's length, which are kept with the code: all of them take longer than one sitting."""
DRAWS, SEEDS, HELD_TRIALS, BINS = 5, 3, 3, 8
RIVALS: Mapping[Arm, str] = {
    "none": "no terms",
    "published": "published coefficients",
    "multiplier": "one multiplier",
}
MARK = "<!-- What follows is written by benchmarks/headline/headline.py. -->\n"
Amounts = Mapping[str, Mapping[str, Sequence[float]]]
"""Bits and their standard error, by kind and by the modalities that have them."""
Draws = Mapping[tuple[str, int, int], Mapping[str, Any]]
"""What is known of each draw, by family, rows and draw."""


class OutOfTime(Exception):
    """The minutes of this piece are spent."""


# ---- what is measured of one draw


def coefficients(trial: TrialRecord, paths: Iterable[str]) -> float:
    """How strong a level is in a trial: the sum of its coefficients, which have these paths."""
    return math.fsum(float(trial.overrides[path]) for path in paths)


def table_of(
    trials: Iterable[TrialRecord], levels: Mapping[str, Sequence[str]] = LEVELS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, L) strengths of the levels in the order of ``levels``, and the (N,) errors on valid."""
    rows = [([coefficients(trial, of) for of in levels.values()], trial.values[0]) for trial in trials]
    strength_NL, error_N = zip(*rows, strict=True)
    return np.array(strength_NL), np.array(error_N)


def shares(strength_NL: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, L); 0 throughout in a trial without any."""
    total_N1 = strength_NL.sum(1, keepdims=True)
    share_NL = np.divide(strength_NL, total_N1, out=np.zeros_like(strength_NL), where=total_N1 > 0)
    return np.minimum(share_NL, 1.0)  # rounding may add a last bit


def importance(trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Importance for being in the best quarter (PED-ANOVA): of the rate, the total and each level's share."""
    strength_NL, error_N = table_of(trials)
    ranges: dict[str, Any] = {"lr": FloatDistribution(*RATES, log=True), "total": FloatDistribution(0, 2)}
    ranges |= {level: FloatDistribution(0, 1) for level in LEVELS}
    known = optuna.create_study()
    for trial, total, share_L, error in zip(
        trials, strength_NL.sum(1), shares(strength_NL), error_N, strict=True
    ):
        point = {
            "lr": float(trial.overrides["optim.lr"]),
            "total": min(float(total), 2.0),
            **dict(zip(LEVELS, map(float, share_L), strict=True)),
        }
        known.add_trial(optuna.trial.create_trial(params=point, distributions=ranges, value=float(error)))
    found = get_param_importances(known, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25))
    return {name: float(found.get(name, 0.0)) for name in ranges}


def decomposed(vectors: Mapping[str, NDArray[Any]], rows: Split, seed: int) -> dict[str, Any]:
    with threadpool_limits(1):
        sources = {name: vectors[name] for name in MODALITIES}
        found = decompose(sources, rows.labels, rows.groups, bins=BINS, effort=FAST, seed=seed)
    return {
        kind: {member: [amount.bits, amount.error] for member, amount in members.items()}
        for kind, members in amounts_in(found).items()
    }


def trained(config: RunConfig) -> Result:
    torch.set_num_threads(1)
    return run(config, open_corpus(config.data, ("train", "valid")))


def held_in_trial(config: RunConfig) -> dict[str, Any]:
    """What a trial's representations say about the labels of valid, which its weights were not fitted to."""
    rows = open_corpus(config.data, ("valid",))["valid"]
    return decomposed(trained(config).predictor.represent(rows), rows, config.seed)


def error_on_test(config: RunConfig) -> float:
    """Train, choose the epoch on valid, and open the fresh test split."""
    predictor = trained(config).predictor
    rows = open_corpus(config.data, ("test",))["test"]
    return float(np.abs(predictor.predict(rows) - rows.labels).mean())


def response(trials: Sequence[TrialRecord], test_N: Sequence[float]) -> dict[str, float]:
    """How the test error would change if one level had the whole total, against the mean of the levels.

    First-order mixture model (Scheffé 1958) with the logarithms of rate and total beside the shares, fitted
    to trials that were drawn by chance: those of the sampler are where it expected low errors.
    """
    strength_NL, _ = table_of(trials)
    used_N = strength_NL.sum(1) > 0
    rate_N = np.array([float(trial.overrides["optim.lr"]) for trial in trials])
    other_N2 = np.log(np.column_stack([rate_N[used_N], strength_NL[used_N].sum(1)]))
    design_NP = np.column_stack([shares(strength_NL[used_N]), other_N2 - other_N2.mean(0)])
    if len(design_NP) <= design_NP.shape[1]:
        return dict.fromkeys(LEVELS, math.nan)
    slope_P = np.linalg.lstsq(design_NP, np.array(test_N)[used_N], rcond=None)[0]
    slope_L = slope_P[: len(LEVELS)] - slope_P[: len(LEVELS)].mean()
    return dict(zip(LEVELS, map(float, slope_L), strict=True))


def largest(amounts: Amounts, kind: Kind) -> tuple[str, Amount]:
    """The modalities that have most of a kind, and how much."""
    member, (bits, error) = max(amounts[kind].items(), key=lambda item: item[1][0])
    return member, Amount(bits, error)


def mean_amounts(of_trials: Sequence[Amounts]) -> Amounts:
    """Over trials. Errors are averaged: the rows are the same, so the mean is hardly surer than one."""
    return {
        kind: {m: [fmean(of[kind][m][i] for of in of_trials) for i in (0, 1)] for m in members}
        for kind, members in of_trials[0].items()
    }


def named_by(amounts: Amounts) -> Kind | None:
    return held_kind({kind: largest(amounts, kind)[1] for kind in KINDS})


# ---- a draw, in pieces


def test_of(arm: Arm) -> str:
    """The step that opens test for an arm."""
    return f"test/{arm}"


class Draw:
    """One draw: its studies, and a file of what is finished."""

    def __init__(self, family: str, rows: int, draw: int, trials: int, out: Path):
        self.family, self.rows, self.draw, self.trials = family, rows, draw, trials
        self.key = family, rows, draw
        self._file = (FINISHED if trials >= TRIALS else out) / f"{family}-{rows}-{draw}.json"
        self._runs = out / "runs"

    @property
    def values(self) -> dict[str, Any]:
        """What is known of it, with so many trials at least."""
        known: dict[str, Any] = json.loads(self._file.read_text("utf-8")) if self._file.exists() else {}
        return known if known.get("trials", 0) >= self.trials else {"trials": self.trials}

    def knows(self, step: str) -> bool:
        """Whether a step is finished; ``says`` is the last one of the search."""
        return step in self.values

    def search(self, pool: ProcessPoolExecutor, jobs: int, seconds_left: Callable[[], float]) -> None:
        """Search the coefficients and find what the trials say; test stays closed.

        Raises:
            OutOfTime: between two steps; the next run goes on.
        """
        searched = self._study("searched", "says", jobs, seconds_left)
        ended = searched.completed("search")
        configs = [searched.trial_config(trial) for trial in ended[:HELD_TRIALS]]
        self._take(
            {
                "held": lambda: list(pool.map(held_in_trial, configs)),
                "says": lambda: self._said(ended),
            },
            seconds_left,
        )

    def test(self, arm: Arm, pool: ProcessPoolExecutor, jobs: int, seconds_left: Callable[[], float]) -> None:
        """Search a rival, and open test for its best trial, when nothing of it is left to choose.

        Raises:
            OutOfTime: as above.
        """
        view = self._study(arm, "says" if arm == "searched" else test_of(arm), jobs, seconds_left)
        self._take({test_of(arm): lambda: self._tested(view, pool)}, seconds_left)

    def respond(self, pool: ProcessPoolExecutor, jobs: int, seconds_left: Callable[[], float]) -> None:
        """Test of the trials that were drawn by chance.

        Raises:
            OutOfTime: as above.
        """
        view = self._study("searched", "says", jobs, seconds_left)
        by_chance = sorted(view.completed("search"), key=lambda trial: trial.number)[:STARTUP]
        configs = map(view.trial_config, by_chance)
        self._take(
            {"response": lambda: response(by_chance, list(pool.map(error_on_test, configs)))}, seconds_left
        )

    def _take(self, steps: Mapping[str, Callable[[], Any]], seconds_left: Callable[[], float]) -> None:
        for name, step in steps.items():
            if not self.knows(name):
                if seconds_left() <= 0:
                    raise OutOfTime
                self._save({**self.values, name: step()})
                print(*self.key, name, flush=True)

    def _study(self, arm: Arm, step: str, jobs: int, seconds_left: Callable[[], float]) -> StudyView:
        """The study of an arm after its search, which ``step`` needs."""
        name = study_name(arm, *self.key)
        if not self.knows(step):
            if seconds_left() <= 0:
                raise OutOfTime
            budget = SearchBudget(seconds_left())
            options = SearchOptions(self._runs, trials=str(self.trials), cpus=jobs, budget=budget)
            summary = run_search(study(arm, *self.key, self.trials), options, [], lambda _: None)
            print(f"{name}: {sum(summary.counts.values())} of {summary.num_trials} trials", flush=True)
            if not summary.done:
                raise OutOfTime
        return read_study(name, self._runs)

    def _said(self, ended: Sequence[TrialRecord]) -> dict[str, Any]:
        strength_NL, error_N = table_of(ended)
        share_NL, best_N = shares(strength_NL), best_quarter(error_N)
        of_kinds = [[*LEVELS].index(kind) for kind in KINDS]
        return {
            "rewarded": rewarded_kind(share_NL[:, of_kinds], error_N),
            "best_shares": dict(zip(LEVELS, map(float, share_NL[best_N].mean(0)), strict=True)),
            "importance": importance(ended),
        }

    def _tested(self, view: StudyView, pool: ProcessPoolExecutor) -> list[float]:
        """MAE of the best trial of an arm, trained anew with fresh seeds that are the same for all arms."""
        best = view.best()
        assert best is not None, f"{view.name} has no completed trial"
        seeds = [derive_seed("headline", *self.key, number) for number in range(SEEDS)]
        configs = [with_overrides(view.trial_config(best), {"seed": seed}) for seed in seeds]
        return list(pool.map(error_on_test, configs))

    def _save(self, values: Mapping[str, Any]) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
        partial.replace(self._file)


# ---- what comes of all draws


def by_source(values: Mapping[str, Any]) -> dict[str, Kind | None]:
    """What the shares of the best trials say, and what these hold."""
    return {"rewarded": values["says"]["rewarded"], "held": named_by(mean_amounts(values["held"]))}


def of_sources(draws: Draws, rows: int) -> dict[str, Figure]:
    """Of each source alone: right among the draws that have a dominant kind, wrong among all."""
    return {
        f"{key}/{source}": figure
        for source in ("rewarded", "held")
        for key, figure in of_names(
            [(family, by_source(v)[source]) for (family, n, _), v in draws.items() if n == rows], rows
        ).items()
    }


def gains(of: Iterable[Mapping[str, Any]], rival: Arm) -> NDArray[np.float64]:
    """(D,) test MAE of the searched coefficients less that of a rival, each a mean over seeds."""
    return np.array([fmean(v[test_of("searched")]) - fmean(v[test_of(rival)]) for v in of])


def of_gain(draws: Draws, rows: int) -> dict[str, Figure]:
    """By family, of those rivals that all draws have been compared with.

    Keys end with the number of rows; those without it stand for the largest size whose draws are complete.
    """
    found = {}
    for family, (rival, what) in product(FAMILIES, RIVALS.items()):
        of = [values for (f, n, _), values in draws.items() if (f, n) == (family, rows)]
        if not all({test_of("searched"), test_of(rival)} <= values.keys() for values in draws.values()):
            continue
        mean, low, high = mean_and_interval(gains(of, rival))
        key = f"headline/gain/{family}" + ("" if rival == "none" else f"/over_{rival}")
        reference = f"{what}; {rows} rows; 95 % interval {low:+.4f} to {high:+.4f} over draws: "
        figure = Figure(round(mean, 4), "MAE", reference + gain_in_words(low, high))
        found |= {key: figure, f"{key}/{rows}": figure}
    return found


def gain_in_words(low: float, high: float) -> str:
    if high < 0:
        return "searched is better"
    return "searched is worse" if low > 0 else "no gain"


def written(values: Iterable[float], sign: str = "") -> str:
    values_D = np.array([*values])
    if len(values_D) < 2:
        return "{:{s}.3f}".format(values_D.mean(), s=sign)
    return "{:{s}.3f} ({:{s}.3f} to {:{s}.3f})".format(*mean_and_interval(values_D), s=sign)


def member_is_planted(values: Mapping[str, Any], kind: Kind, draw: int) -> bool:
    """Whether the modalities with most of a kind are those where it was planted."""
    planted = {"specific": private_modality(draw), "complementary": ",".join(synergy_of(draw))}
    return largest(mean_amounts(values["held"]), kind)[0] == planted[kind]


def tables(draws: Draws) -> str:
    """Markdown of every family and size of which there is a draw; means over draws, 95 % intervals."""

    def of_levels(
        title: str, heads: Sequence[str], cells: Callable[[list[Any]], list[str]], step: str = "says"
    ) -> list[str]:
        lines = [f"\n**{title}**\n", "| family, rows | " + " | ".join(heads) + " |"]
        lines.append("|---" * (1 + len(heads)) + "|")
        for (family, rows), of in _by_family(draws, step).items():
            lines.append(f"| {family}, {rows} | " + " | ".join(cells([*of.values()])) + " |")
        return lines if len(lines) > 3 else []

    lines = [
        "\n| family, rows | more in the best trials | held by them | which modalities |",
        "|---|---|---|---|",
    ]
    for (family, rows), of in _by_family(draws, "says").items():
        said = [by_source(values) for values in of.values()]
        rewarded, held = (", ".join(one[source] or "-" for one in said) for source in ("rewarded", "held"))
        members = [
            f"{kind}: {sum(member_is_planted(v, kind, draw) for draw, v in of.items())} of {len(of)} right"
            for kind in KINDS[1:]
        ]
        lines.append(f"| {family}, {rows} | {rewarded} | {held} | {'; '.join(members)} |")
    levels = [*LEVELS]
    lines += of_levels(
        "Shares in the best quarter of the trials",
        levels,
        lambda of: [written(v["says"]["best_shares"][level] for v in of) for level in levels],
    )
    lines += of_levels(
        "Importance for the best quarter (PED-ANOVA, adds up to 1)",
        ["lr", "total", *levels],
        lambda of: [written(v["says"]["importance"][name] for v in of) for name in ["lr", "total", *levels]],
    )
    lines += of_levels(
        f"Bits about the label in the best {HELD_TRIALS} trials, of the modalities that have most",
        KINDS,
        lambda of: [written(largest(mean_amounts(v["held"]), kind)[1].bits for v in of) for kind in KINDS],
    )
    lines += of_levels(
        "Response: test MAE if a level has the whole total, against the mean of the four",
        levels,
        lambda of: [written((v["response"][level] for v in of), "+") for level in levels],
        "response",
    )
    for arm in ARMS:
        title = f"Test MAE of the best trial: {arm}" + (
            ", and what the searched one gains" if arm in RIVALS else ""
        )
        lines += of_levels(
            title,
            ["MAE", "searched less it"],
            lambda of, arm=arm: [written(fmean(v[test_of(arm)]) for v in of), gain_cell(of, arm)],
            test_of(arm),
        )
    return "\n".join(lines) + "\n"


def _by_family(draws: Draws, step: str) -> dict[tuple[str, int], dict[int, Mapping[str, Any]]]:
    """The draws of each family and size for which a step is finished."""
    groups: dict[tuple[str, int], dict[int, Mapping[str, Any]]] = {}
    for (family, rows, draw), values in draws.items():
        if step in values:
            groups.setdefault((family, rows), {})[draw] = values
    return groups


def gain_cell(of: Sequence[Mapping[str, Any]], rival: Arm) -> str:
    if rival == "searched" or not all(test_of("searched") in values for values in of):
        return "-"
    difference_D = gains(of, rival)
    if len(difference_D) < 2:
        return written(difference_D, "+")
    _, low, high = mean_and_interval(difference_D)
    return f"{written(difference_D, '+')}: {gain_in_words(low, high)}"


def report(known: Draws) -> None:
    """Print what there is; record and write into the README what is complete and of the protocol's length."""
    if not known:
        print("no draw is finished yet; the same command goes on")
        return
    print(tables(known))
    whole = {key: values for key, values in known.items() if values["trials"] >= TRIALS and key[2] < DRAWS}
    all_draws = len(FAMILIES) * DRAWS
    complete: Draws = {}
    for rows in SIZES:
        of_size = {key: values for key, values in whole.items() if key[1] == rows}
        tested = ", ".join(f"{arm} {sum(test_of(arm) in v for v in of_size.values())}" for arm in ARMS)
        if len(of_size) == all_draws:
            steps = set.intersection(*(set(values) for values in of_size.values()))
            complete = {**complete, **{key: {s: v[s] for s in steps} for key, v in of_size.items()}}
            print(record("headline", of_sources(of_size, rows) | of_gain(of_size, rows)))
        print(
            f"{rows} rows: of {all_draws} draws with {TRIALS} trials {len(of_size)} are searched and in "
            f"{FINISHED.name}/, tested: {tested}; nothing is recorded before all are"
        )
    if complete:
        README.write_text(README.read_text("utf-8").partition(MARK)[0] + MARK + tables(complete), "utf-8")
        print(README)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/headline"), help="studies lie there, and draws of fewer trials"
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=[*FAMILIES])
    parser.add_argument("--sizes", nargs="+", type=int, choices=SIZES, default=[*SIZES])
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"draws 0 to N - 1 (default: {DRAWS})")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"of each study (default: {TRIALS})")
    parser.add_argument(
        "--arms",
        nargs="*",
        choices=ARMS,
        default=["searched", *RIVALS],
        help="to test after the searches of the coefficients; rivals are searched for it (default: all)",
    )
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once (default: 2)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing after so many")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    for folder in (args.out, FINISHED):
        folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * args.minutes
    chosen = [
        Draw(family, rows, draw, args.trials, args.out)
        for draw, rows, family in product(range(args.draws), args.sizes, args.families)
    ]
    pieces = [(draw, draw.search) for draw in chosen if not draw.knows("says")]
    pieces += [
        (draw, partial(draw.test, arm))
        for arm in args.arms
        for draw in chosen
        if not draw.knows(test_of(arm))
    ]
    if len(args.arms) == len(ARMS):
        pieces += [(draw, draw.respond) for draw in chosen if not draw.knows("response")]
    if pieces:
        # Not forked: a process with Ray's threads in it may hang.
        with (
            ray_cluster(cpus=args.jobs),
            ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool,
        ):
            try:
                for draw, piece in pieces:
                    started = time.monotonic()
                    piece(pool, args.jobs, lambda: deadline - time.monotonic())
                    print(*draw.key, f"{time.monotonic() - started:.0f} s", flush=True)
            except OutOfTime:
                print("stopped; the same command goes on", flush=True)
    everything = [
        Draw(*key, args.trials, args.out) for key in product(FAMILIES, SIZES, range(max(args.draws, DRAWS)))
    ]
    report({draw.key: draw.values for draw in everything if draw.knows("says")})


if __name__ == "__main__":
    main()
