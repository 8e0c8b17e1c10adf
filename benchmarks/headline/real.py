"""The four studies once on real data, where the truth is not known: MOSI (context split) and POM.

Data, model and estimators are those of the base configuration of the shipped space; coefficients, batches,
epochs and patience are those of the planted studies (``studies.py``), with rates of 1e-3 to 1e-2. When all
four studies have ended, the best trial of each is trained anew with fresh seeds, and test is opened for all
of them at once. The interval of a difference is of the crossed bootstrap over videos and seeds. Studies stay
in ``--out``; the same command goes on. Studies of fewer trials than the protocol has record nothing.

    MMSA_DATA=<folder with mosi_utterance.npz and pom_av.npz> python benchmarks/headline/real.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from figures import Figure, record
from headline import RIVALS, gain_in_words, shares, table_of
from studies import ARMS, TRAIN, TRIALS, Arm, Levels, paths_of, published_levels, study_of

from mmsa.data import open_corpus
from mmsa.data.corpus import Corpus, ModalityName
from mmsa.reports.composition import decompose_features, spoken_kind
from mmsa.reports.naming import best_quarter
from mmsa.results.crossed import Crossed
from mmsa.search.corpora import prepare
from mmsa.search.definition.load import load_space
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution.cluster import ray_cluster
from mmsa.search.execution.executor import SearchOptions, run_search
from mmsa.search.study.view import StudyView, read_study
from mmsa.seeding import derive_seed
from mmsa.training import run

DATA: Mapping[str, tuple[ModalityName, ...]] = {
    "mosi_context": ("text", "audio", "vision"),
    "pom": ("audio", "vision"),
}
"""Shipped spaces, and the modalities of their data."""
RATES = (1e-3, 1e-2)
SEEDS = 5
FOUND = Path(__file__).with_name("real.md")


def real_study(arm: Arm, space: str, levels: Levels, trials: int) -> StudyConfig:
    """The search of an arm, from the base configuration of a shipped space."""
    base = load_space(f"{space}.yaml").base.model_dump(mode="json", exclude_unset=True)
    mimrl = base["objective"]["terms"]["mimrl"]
    for level, coefficients in levels.items():
        mimrl[level] |= coefficients  # of a modality that is missing they are 0 there
    mimrl["normalise"] = arm != "published"
    base["objective"]["terms"] = {} if arm == "none" else {"mimrl": mimrl}
    base["train"] = TRAIN
    base["information"] = {"quantities": []}
    return study_of(arm, f"{space}-{arm}", base, levels, RATES, trials)


def predicted(view: StudyView, test: Corpus, cache: Path) -> NDArray[np.float64]:
    """(S, N) predictions on test of the best trial, trained anew with seeds that all arms share."""
    best = view.best()
    assert best is not None, f"{view.name} has no completed trial"
    config = view.trial_config(best)
    corpus = prepare(config, cache)
    seeds = [derive_seed("headline", "real", number) for number in range(SEEDS)]
    return np.stack(
        [
            run(config.model_copy(update={"seed": seed}), corpus, cache=cache).predictor.predict(test["test"])
            for seed in seeds
        ]
    )


def of_data(space: str, views: Mapping[Arm, StudyView], cache: Path) -> tuple[dict[str, Figure], list[str]]:
    """The figures of a data set and its part of ``real.md``; opens its test split."""
    config = views["searched"].config.base
    encoded = prepare(config, cache)
    test = open_corpus(config.data, ("test",))
    labels_N, groups_N = test["test"].labels, test["test"].groups
    constant = np.full_like(labels_N, np.median(encoded["train"].labels))
    predictions = {arm: predicted(view, test, cache) for arm, view in views.items()}
    crossed = Crossed(labels_N, groups_N, test.target, {**predictions, "constant": np.stack([constant] * 2)})
    figures, name = {}, space.partition("_")[0]
    lines = [
        f"\n## {encoded.name}: {len(encoded['train'])} rows to train on, {len(encoded['valid'])} to choose "
        f"by, {len(labels_N)} of {len(set(groups_N.tolist()))} videos in test\n",
        f"Named from the features of train: {spoken_kind(decompose_features(encoded['train']))}.\n",
        "| study | valid MAE of its best trial | test MAE | searched less it |",
        "|---|---|---|---|",
    ]
    for arm, view in views.items():
        cell = "-"
        if arm in RIVALS:
            gain = crossed.difference("searched", arm, "mae").paired()
            words = gain_in_words(gain.low, gain.high)
            cell = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}): {words}"
            key = f"headline/gain/{name}" + ("" if arm == "none" else f"/over_{arm}")
            reference = f"{RIVALS[arm]}; once; 95 % interval {gain.low:+.4f} to {gain.high:+.4f} over videos"
            figures[key] = Figure(round(gain.value, 4), "MAE", f"{reference} and seeds: {words}")
        best = view.best()
        assert best is not None
        low, high = (mean := crossed.mean(arm, "mae")).interval()
        lines.append(
            f"| {arm} | {best.values[0]:.3f} | {mean.value:.3f} ({low:.3f} to {high:.3f}) | {cell} |"
        )
    lines.append(f"| constant (median of train) | - | {crossed.mean('constant', 'mae').value:.3f} | - |")
    lines += ["", *_shares(views["searched"], DATA[space])]
    return figures, lines


def _shares(view: StudyView, modalities: tuple[ModalityName, ...]) -> Iterator[str]:
    """The mean share of each level in the best quarter of the trials, and in all."""
    levels = paths_of(published_levels(modalities))
    ended = view.completed("search")
    strength_NL, error_N = table_of(ended, levels)
    share_NL, used_N, best_N = shares(strength_NL), strength_NL.sum(1) > 0, best_quarter(error_N)
    yield "| trials with a coefficient | " + " | ".join(levels) + " |"
    yield "|---" * (1 + len(levels)) + "|"
    for title, chosen_N in (("best quarter", used_N & best_N), ("others", used_N & ~best_N)):
        mean_L = share_NL[chosen_N].mean(0) if chosen_N.any() else []
        yield (
            f"| {title}: {chosen_N.sum()} of {len(ended)} | "
            + " | ".join(f"{share:.3f}" for share in mean_L)
            + " |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/headline"), help="studies lie there")
    parser.add_argument("--data", nargs="+", choices=DATA, default=[*DATA])
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"of each study (default: {TRIALS})")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once (default: 2)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = args.out / "runs"
    with ray_cluster(cpus=args.jobs):
        for space in args.data:
            for arm in ARMS:
                config = real_study(arm, space, published_levels(DATA[space]), args.trials)
                options = SearchOptions(runs, trials=str(args.trials), cpus=args.jobs)
                summary = run_search(config, options, [], lambda _: None)
                print(f"{config.study}: {sum(summary.counts.values())} trials", flush=True)
    figures: dict[str, Any] = {}
    lines = [
        "# What the searched coefficients gain on real data",
        "",
        "Written by `real.py`, whose docstring is the protocol.",
    ]
    for space in args.data:
        views = {arm: read_study(f"{space}-{arm}", runs) for arm in ARMS}
        found, part = of_data(space, views, runs / "cache")
        figures |= found
        lines += part
    print("\n".join(lines))
    if args.trials >= TRIALS and len(args.data) == len(DATA):
        FOUND.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(record("headline", figures))


if __name__ == "__main__":
    main()
