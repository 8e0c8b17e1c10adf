"""Whether the weights one searches move what is measured: MIMRL's coefficients on planted data.

The data hold one bit that all modalities share and 0.9 bits that each has alone. Every vector of a modality
has three numbers, so that a model has to choose what it keeps. One coefficient at a time is raised from 0,
all others are 0; measured are representations of rows that nothing was fitted to or chosen on, by the
platform's own measurement, never by the bound that was trained:

=============  ========================================================================================
invariant      I(T; A) + I(T; V), which is ``mimrl/invariant`` of the panel
specific/m     the bracket of what m alone says about the label, ``unique/m|rest/least`` and ``/most`` of
               ``decompose``, against the modalities that the coefficient is about; besides, the sum of the
               released code, ``mimrl/specific/m``
fusion/m       I(F; m), ``fusion/m`` of the panel
=============  ========================================================================================

Shown is the mean over seeds (of data and model) with its 95 % interval, and the change from weight 0, paired
by seed.

    python benchmarks/composition.py        # 5 seeds; minutes on two cores
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from figures import Figure, record
from numpy.typing import NDArray
from scipy.stats import t as student
from threadpoolctl import threadpool_limits

from mmsa.config import parse, with_overrides
from mmsa.data import open_corpus
from mmsa.data.corpus import MODALITIES, ModalityName
from mmsa.experiment import RunConfig
from mmsa.information import decompose
from mmsa.information.measure_panel import measure_panel
from mmsa.information.target import Effort
from mmsa.training import run

WEIGHTS = (0.1, 1.0)
EFFORT = Effort(folds=3, seeds=1, permutations=0, resamples=50)  # seeds of the runs give the interval
_TERM = "objective.terms.mimrl"
Run = Future[dict[str, float | None]]


@dataclass(frozen=True)
class Coefficient:
    """One of MIMRL's coefficients, and the quantities that it should raise.

    decomposed: the modalities whose decomposition holds them; none where the panel does.
    """

    path: str
    raises: Sequence[str]
    decomposed: Sequence[ModalityName] = ()


def _specific(modality: ModalityName, *others: ModalityName) -> Coefficient:
    bracket = f"unique/{modality}|{'+'.join(others)}"
    raises = [f"{bracket}/least", f"{bracket}/most", f"mimrl/specific/{modality}"]
    return Coefficient(f"specific.{modality}", raises, [m for m in MODALITIES if m in (modality, *others)])


COEFFICIENTS = {
    "invariant": Coefficient("invariant", ["mimrl/invariant"]),
    "specific/text": _specific("text", "audio", "vision"),
    "specific/audio": _specific("audio", "text"),
    "specific/vision": _specific("vision", "text"),
    **{f"fusion/{m}": Coefficient(f"fusion.{m}", [f"fusion/{m}"]) for m in MODALITIES},
}


def base() -> RunConfig:
    """The run with all coefficients at 0."""
    nothing: dict[str, float] = dict.fromkeys(MODALITIES, 0.0)
    one_vector = {f"{m}_frames": [1, 1] for m in MODALITIES} | {f"{m}_dim": 8 for m in MODALITIES}
    bits = {"shared_bits": 1.0, **{f"{m}_bits": 0.9 for m in MODALITIES}, "synergy_bits": 0.0}
    small = {"hidden": 32, "layers": 2}
    encoder = {"name": "mlp", "hidden": 16, "output": 3, "dropout": 0.0}
    encoders: dict[str, Any] = dict.fromkeys(MODALITIES, encoder)
    term = {
        "fusion": nothing,
        "invariant": 0.0,
        "specific": nothing,
        "complementary": 0.0,
        "estimator": {"name": "infonce", "critic": {"name": "separable", "embedding": 16, **small}},
        "conditional": {"name": "cmi_knn_nwj", "classifier": small},
    }
    values = {
        "data": {"name": "planted", "rows_valid": 300, "rows_test": 1000, **one_vector, **bits},
        "model": {
            "name": "late_fusion",
            **encoders,
            "fusion": {"name": "mlp", "width": 4, "dropout": 0.0},
        },
        "objective": {"terms": {"mimrl": term}, "strategy": {"name": "two_stage"}},
        "optim": {"lr": 3e-3, "lr_estimator": 3e-3},
        "train": {"epochs": 20, "batch_size": 50, "patience": 20, "device": "cpu", "threads": 1},
        "information": {"quantities": []},
    }
    return parse(RunConfig, values, "composition")


def measured(
    point: Mapping[str, float], decomposed: Sequence[ModalityName], seed: int
) -> dict[str, float | None]:
    """The MAE, and all quantities in nats, of one run with the coefficients of ``point`` by path."""
    torch.set_num_threads(1)
    weight = float(any(point.values()))  # a term without a coefficient is left out
    changes: dict[str, Any] = {"seed": seed, "data.seed": seed, f"{_TERM}.weight": weight}
    config = with_overrides(base(), changes | {f"{_TERM}.{path}": value for path, value in point.items()})
    result = run(config, open_corpus(config.data, ("train", "valid")))
    rows = open_corpus(config.data, ("test",))["test"]
    vectors = result.predictor.represent(rows)
    panel = measure_panel(vectors, rows.labels, rows.groups, ["fusion", "mimrl"], seed=seed)
    values = {"valid/mae": result.metrics["valid/mae"], **{name: part.value for name, part in panel.items()}}
    if decomposed:
        sources: dict[str, NDArray[np.float32]] = {name: vectors[name] for name in decomposed}
        with threadpool_limits(1):
            found = decompose(sources, rows.labels, rows.groups, effort=EFFORT, seed=seed)
        values |= {name: quantity.raw * math.log(2) for name, quantity in found.quantities.items()}
    return values


def mean_and_interval(values_S: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % interval (Student's t)."""
    mean = float(values_S.mean())
    half = float(student.ppf(0.975, len(values_S) - 1) * values_S.std(ddof=1) / math.sqrt(len(values_S)))
    return mean, mean - half, mean + half


def written(values_S: NDArray[np.float64], sign: str = "") -> str:
    """For a table."""
    return "{:{s}.2f} ({:{s}.2f} to {:{s}.2f})".format(*mean_and_interval(values_S), s=sign)


Values = Mapping[tuple[str, float], Sequence[Mapping[str, float | None]]]
"""What was measured, for each seed, by coefficient and weight; ``NOTHING`` is where all are 0."""
NOTHING = ("", 0.0)


def series(values: Values, coefficient: str, quantity: str) -> list[NDArray[np.float64]]:
    """(S,) of each weight, 0 first."""
    points = [NOTHING, *((coefficient, weight) for weight in WEIGHTS)]
    return [np.array([of_seed[quantity] for of_seed in values[point]], np.float64) for point in points]


def table(values: Values) -> str:
    """Markdown: a line for each quantity that a coefficient should raise, and the MAE of its runs."""
    heads = ["coefficient", "measured, nats", "0", *map(str, WEIGHTS), f"change, 0 to {WEIGHTS[-1]}"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, coefficient in COEFFICIENTS.items():
        for quantity in [*coefficient.raises, "valid/mae"]:
            by_weight = series(values, name, quantity)
            cells = [*map(written, by_weight), written(by_weight[-1] - by_weight[0], "+")]
            lines.append(" | ".join([f"| `{name}`", "`" + quantity.replace("|", r"\|") + "`", *cells]) + " |")
    return "\n".join(lines)


def figures(values: Values, num_seeds: int) -> dict[str, Figure]:
    """The mean of each quantity at each weight, and the lower end of its change, which should be above 0."""
    found = {}
    for name, coefficient in COEFFICIENTS.items():
        for quantity in coefficient.raises:
            by_weight = series(values, name, quantity)
            for weight, values_S in zip((0.0, *WEIGHTS), by_weight, strict=True):
                mean, low, high = mean_and_interval(values_S)
                reference = f"mean of {num_seeds} seeds, 95 % interval {low:.3f} to {high:.3f}"
                found[f"{name}/{weight}/{quantity}"] = Figure(
                    round(mean, 4), "nats", reference, better="higher"
                )
            mean, low, high = mean_and_interval(by_weight[-1] - by_weight[0])
            reference = (
                f"low end of the change from weight 0 to {WEIGHTS[-1]}: {mean:.3f}, at most {high:.3f}"
            )
            found[f"{name}/change/{quantity}"] = Figure(round(low, 4), "nats", reference, 0.0, "higher")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="at least 2 (default: 5)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:

        def begun(point: Mapping[str, float], decomposed: Sequence[ModalityName]) -> list[Run]:
            return [pool.submit(measured, point, decomposed, seed) for seed in range(args.seeds)]

        runs = {NOTHING: begun({}, MODALITIES)} | {
            (name, weight): begun({coefficient.path: weight}, coefficient.decomposed)
            for name, coefficient in COEFFICIENTS.items()
            for weight in WEIGHTS
        }
        values = {}
        for point, futures in runs.items():
            values[point] = [future.result() for future in futures]
            print(*point, "measured", flush=True)
    print(table(values))
    print(record("composition", figures(values, args.seeds)))


if __name__ == "__main__":
    main()
