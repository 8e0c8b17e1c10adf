"""The information block of MIMRL, five MI and six conditional estimators, forward and backward.

Ours (the term ``mimrl``) against the published procedure, written here from its description: one network at
a time, neighbours found by scikit-learn on the host. Batch 64, 128 features, k 2, a bank of CMU-MOSI's and of
CMU-MOSEI's size, one CPU thread, float32. Both are timed in turns in one run; a ratio is the median over the
turns, since the speed of a machine changes from second to second. Stage 1 fits the estimators, stage 2
gives the encoders their gradients.

Ours searches the neighbours of a whole epoch at once. The seconds that takes are shared among the batches of
the epoch's three passes (the recorded runs have two of stage 1 and one of stage 2) and added to each stage.

The description says "k-NN in Python loops, O(N) per anchor": the reference asks scikit-learn for one anchor
at a time. A kinder reading that asks for all anchors of an estimator at once is recorded beside it.

Where the limit is: ours does 1.6 GFLOP in stage 1 and 1.0 in stage 2, 16 and 10 ms at the 100 GFLOP/s of one
core of the machine of the recorded figures, and the search of the larger bank adds 4 ms. So no block could
gain more than about 5x / 8x at 1,284 and 18x / 26x at 16,326 over this reference there.

    python benchmarks/information/mimrl_block.py
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from mmsa.config import parse
from mmsa.data.targets import Targets
from mmsa.information.neighbours import FeatureBank, nearest_neighbours
from mmsa.models import RepresentationDims, Representations
from mmsa.objectives.terms import MIMRLTerm

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

BATCH, WIDTH, K, HIDDEN = 64, 128, 2, 256
BANKS = {1284: (4.0, 6.0), 16326: (25.0, 35.0)}
PASSES = 3
COEFFICIENT = 0.01
PAIRS = ("FT", "FA", "FV", "TA", "TV")
TRIPLES = ("ACT", "TAC", "VCT", "TVC", "TCA", "TCV")

Features = dict[str, Tensor]
Stages = tuple[Callable[[], None], Callable[[], None]]


def network(inputs: int, outputs: int) -> nn.Sequential:
    hidden = [part for _ in range(2) for part in (nn.Linear(HIDDEN, HIDDEN), nn.ReLU())]
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), *hidden, nn.Linear(HIDDEN, outputs))


class Published(nn.Module):
    """Separable critics with InfoNCE, classifiers with the released value; label repeated to 128 features."""

    def __init__(self, bank: Features, one_query: bool):
        super().__init__()
        self.bank, self.one_query = bank, one_query
        self.towers = nn.ModuleDict(
            {name: nn.ModuleList([network(WIDTH, WIDTH), network(WIDTH, WIDTH)]) for name in PAIRS}
        )
        self.classifiers = nn.ModuleDict({name: network(3 * WIDTH, 2) for name in TRIPLES})

    def information(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """InfoNCE of one critic."""
        first, second = self.towers[name]  # type: ignore[misc]
        scores = second(y) @ first(x).t()
        return torch.log(torch.tensor(float(len(x)))) + (scores.diag() - scores.logsumexp(1)).mean()

    def probabilities(self, name: str, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The two outputs of one classifier, independent sigmoids."""
        logits = self.classifiers[name](torch.cat([x, y, z], 1))
        return torch.sigmoid(logits.clamp(-10, 10))

    def product(self, name: str, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """y and z of each anchor, with the x of its k nearest neighbours among all other samples."""
        x, y, z = (self.bank[column] for column in name)
        anchors = random.sample(range(len(z)), size // K)
        others = [i for i in range(len(z)) if i not in anchors]
        points = z.cpu().numpy()
        search = NearestNeighbors(n_neighbors=K).fit(points[others])
        if self.one_query:
            found = search.kneighbors(points[anchors], return_distance=False)
        else:
            found = [search.kneighbors(points[[a]], return_distance=False)[0] for a in anchors]
        rows = [
            (x[others[i]], y[a], z[a]) for a, nearest in zip(anchors, found, strict=True) for i in nearest
        ]
        xs, ys, zs = zip(*rows, strict=True)
        return torch.stack(xs), torch.stack(ys), torch.stack(zs)

    def outputs(self, features: Features, name: str) -> tuple[Tensor, Tensor]:
        """Of the batch and of a product batch."""
        joint = self.probabilities(name, *(features[column] for column in name))
        product = self.probabilities(name, *self.product(name, len(joint)))
        return joint, product

    def stage_1(self, features: Features) -> Tensor:
        """Minus the bounds, plus the cross-entropies."""
        losses = [-self.information(name, *(features[column] for column in name)) for name in PAIRS]
        for name in TRIPLES:
            joint, product = self.outputs(features, name)
            targets = torch.zeros(len(joint) + len(product), 2)
            targets[: len(joint), 0] = 1
            targets[len(joint) :, 1] = 1
            losses.append(F.binary_cross_entropy(torch.cat([joint, product]), targets))
        return torch.stack(losses).sum()

    def stage_2(self, features: Features) -> Tensor:
        """The eight quantities with equal coefficients, as sums."""
        pairs = {name: self.information(name, *(features[column] for column in name)) for name in PAIRS}
        triples = {}
        for name in TRIPLES:
            joint, product = (g[:, 0] for g in self.outputs(features, name))
            odds = [torch.log(g / (1 - g + 1e-6)).mean() for g in (joint, product)]
            triples[name] = 1 + 0.5 * odds[0] - 0.5 * odds[1]
        shared = triples["TAC"] + triples["TVC"]
        specific = triples["TCA"] + triples["TCV"] + triples["ACT"] + triples["VCT"] - 2 * shared
        return -COEFFICIENT * (torch.stack(list(pairs.values())).sum() + specific + shared)


def published(bank: Features, features: Features, one_query: bool) -> Stages:
    """Back-propagates everywhere in both stages, as the released training does."""
    block = Published(bank, one_query)

    def stage(loss: Callable[[Features], Tensor]) -> Callable[[], None]:
        def step() -> None:
            for tensor in (*block.parameters(), *features.values()):
                tensor.grad = None
            loss(features).backward()

        return step

    return stage(block.stage_1), stage(block.stage_2)


def representations_of(features: Features) -> Representations:
    unimodal = {"text": features["T"], "audio": features["A"], "vision": features["V"]}
    return Representations(unimodal, features["F"], features["F"][:, 0])  # type: ignore[arg-type]


def targets_of(features: Features) -> Targets:
    labels_N = features["C"][:, 0].detach()
    return Targets(labels_N, torch.arange(len(labels_N)))


def term_with(bank: Features) -> MIMRLTerm:
    shape = {"hidden": HIDDEN, "layers": 3}
    settings = {
        "estimator": {"name": "infonce", "critic": {"name": "separable", "embedding": WIDTH, **shape}},
        "conditional": {"name": "cmi_knn_nwj", "classifier": shape, "k": K},
        "pairs": "sum",
    }
    dims = RepresentationDims({"text": WIDTH, "audio": WIDTH, "vision": WIDTH}, WIDTH)
    term = MIMRLTerm(parse(MIMRLTerm.Config, settings, "mimrl_block"), dims).train()
    with torch.no_grad():
        term(representations_of(bank), targets_of(bank))
    term.start_epoch(1)
    return term


def search(bank: FeatureBank) -> None:
    everything = torch.arange(len(bank))
    for name in bank.widths:
        nearest_neighbours(bank.search_points(name), everything, K)


def ours(term: MIMRLTerm, features: Features) -> Stages:
    """As the training loop does it: detached in stage 1, gradients of the encoders alone in stage 2."""
    given, targets = representations_of(features), targets_of(features)
    fitted = term.parameter_groups()["estimator"]
    encoded = [tensor for tensor in features.values() if tensor.requires_grad]

    def stage_1() -> None:
        for parameter in fitted:
            parameter.grad = None
        loss = term.estimator_loss(given.detach(), targets)
        assert loss is not None
        torch.autograd.backward(loss, inputs=fitted)

    def stage_2() -> None:
        for tensor in encoded:
            tensor.grad = None
        torch.autograd.backward(term(given, targets).loss, inputs=encoded)

    return stage_1, stage_2


def seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def random_features(rows: int) -> Features:
    features = {name: torch.randn(rows, WIDTH) for name in "FTAV"}
    # labels of CMU-MOSI come in steps of 0.2
    return features | {"C": ((torch.rand(rows, 1) * 30).round() / 5 - 3).expand(rows, WIDTH).contiguous()}


def measure(rows: int, turns: int) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of each turn in stage 1 and stage 2, by contender."""
    torch.manual_seed(0)
    random.seed(0)
    bank, features = random_features(rows), random_features(BATCH)
    for name in "FTAV":
        features[name].requires_grad_()
    term = term_with(bank)
    contenders = {
        "ours": ours(term, features),
        "published": published(bank, features, one_query=False),
        "one_query": published(bank, features, one_query=True),
    }
    taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in contenders}
    shared = PASSES * math.ceil(rows / BATCH)
    for turn in range(turns + 1):
        share = seconds(lambda: search(term.bank)) / shared
        for name, stages in contenders.items():
            for stage, step in enumerate(stages):
                spent = seconds(step) + (share if name == "ours" else 0.0)
                if turn:  # the first turn warms up
                    taken[name][stage].append(spent)
    return taken


def ratio(slow: list[float], fast: list[float]) -> float:
    return median(a / b for a, b in zip(slow, fast, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    figures: dict[str, Figure] = {}
    for rows, goals in BANKS.items():
        taken = measure(rows, turns)
        reference = f"published procedure, bank of {rows:,}; median of {turns} turns"
        for name, key in (("published", "speedup"), ("one_query", "speedup_one_query")):
            gains = [ratio(slow, fast) for slow, fast in zip(taken[name], taken["ours"], strict=True)]
            aims = (*goals, sum(goals) / 2) if name == "published" else (None, None, None)
            parts = (f"{key}_stage1", f"{key}_stage2", key)
            for part, gain, goal in zip(parts, (*gains, sum(gains) / 2), aims, strict=True):
                figures[f"mimrl_block/{part}/{rows}"] = Figure(round(gain, 2), "x", reference, goal, "higher")
        for stage in (0, 1):
            milliseconds = 1000 * median(taken["ours"][stage])
            figures[f"mimrl_block/ms_stage{stage + 1}/{rows}"] = Figure(
                round(milliseconds, 1), "ms", "ours, its share of the search included"
            )
    for key, figure in sorted(figures.items()):
        goal = "" if figure.goal is None else f"   goal {figure.goal:g}"
        print(f"{key:45s} {figure.value:8.2f} {figure.unit}{goal}")
    record("information", figures)


if __name__ == "__main__":
    main()
