"""What it is worth to send gradients while others are still computed.

Two processes train a randomly initialised text model of BERT's size, each on its half of every batch, with
one thread, over gloo. The same step is timed in turns with buckets of gradients (``Team.averaging``) and with
one bucket, which leaves when the last gradient is there: as it is without overlap. A turn is a step of each,
so that a change of the machine's speed meets both; the ratio is the median over the turns. The weights do not
move, and the gradients of both ways and of a single process are compared.

    python benchmarks/parallel/overlap.py                     # BERT-base: about 6 GiB of memory
    ... --layers 2 --width 128 --turns 3                      # a look; records nothing
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

from mmsa.training.parallel import BUCKET, Team

WORLD, ROWS, TOKENS = 2, 16, 32
BASE = {"layers": 12, "width": 768}


def bert(layers: int, width: int) -> nn.Module:
    """An encoder with random weights, which are the same in every process."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model: nn.Module = BertModel(config, add_pooling_layer=False)
    return model


def step(model: nn.Module, ids_ST: torch.Tensor, around: Callable[[list[nn.Parameter]], Any]) -> float:
    """Seconds of a forward and a backward pass, and of averaging gradients."""
    model.zero_grad()
    parameters = list(model.parameters())
    start = time.perf_counter()
    loss = model(input_ids=ids_ST).last_hidden_state.square().mean()
    with around(parameters):
        torch.autograd.backward(loss, inputs=parameters)
    return time.perf_counter() - start


def flat(model: nn.Module) -> torch.Tensor:
    """All gradients side by side."""
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def measure(rank: int, args: argparse.Namespace, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/rendezvous", WORLD)
    dist.init_process_group("gloo", rank=rank, world_size=WORLD, store=store, timeout=timedelta(minutes=5))
    team = Team(dist.group.WORLD)
    ids_BT = torch.randint(0, 30_000, (ROWS, TOKENS), generator=torch.Generator().manual_seed(1))
    model, own_ST = bert(args.layers, args.width), ids_BT[team.share]
    ways = {
        "together": lambda parameters: team.averaging(parameters, sys.maxsize),
        "overlapped": lambda parameters: team.averaging(parameters, BUCKET),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    gradients = {}
    for turn in range(args.turns + 1):  # the first warms up
        for name, around in ways.items():
            dist.barrier()
            seconds = step(model, own_ST, around)
            if turn:
                times[name].append(seconds)
            else:
                gradients[name] = flat(model)
    if rank:
        return
    step(model, ids_BT, lambda _: torch.enable_grad())  # one process, which has the whole batch
    scale = flat(model).norm()
    torch.save(
        {
            "times": times,
            "of_one": float((gradients["overlapped"] - flat(model)).norm() / scale),
            "of_both": float((gradients["overlapped"] - gradients["together"]).norm() / scale),
        },
        f"{folder}/found.pt",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=BASE["layers"])
    parser.add_argument("--width", type=int, default=BASE["width"])
    parser.add_argument("--turns", type=int, default=9)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(
            measure, args=(args, folder), nprocs=WORLD, start_method="spawn"
        )
        found = torch.load(f"{folder}/found.pt", weights_only=True)
    pairs = zip(found["times"]["together"], found["times"]["overlapped"], strict=True)
    ratios = sorted(together / overlapped for together, overlapped in pairs)
    speedup = median(ratios)
    print(f"step: {median(found['times']['together']):.2f} s together, speed-up {speedup:.3f}")
    print(f"ratios of the turns: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
    print(f"gradients: {found['of_one']:.1e} from one process, {found['of_both']:.1e} from each other")
    if {"layers": args.layers, "width": args.width} != BASE:
        return
    reference = f"gradients sent after the pass; gloo, 2 processes of 1 thread, {args.turns} turns"
    figures = {
        "ddp/overlap_speedup/2": Figure(round(speedup, 3), "x", reference, 1.0, "higher"),
        "ddp/gradient_difference/2": Figure(found["of_one"], "of the norm", "one process", 5e-5),
    }
    print(record("parallel", figures))


if __name__ == "__main__":
    main()
