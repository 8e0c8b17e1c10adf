"""Training on one GPU: time of a step by model, precision, fine-tuning, and trials that share the card.

Data are random of CMU-MOSI's shape (``benchmarks/training/shapes.py``), models of published sizes. Everything
is timed in this run on this card, after a warm-up, with the device synchronised; figures are ratios, and
seconds beside them for the record.

    benchmarks/gpu/run.sh                        # tests first, then this; writes ../results/gpu.json
    python benchmarks/gpu/gpu.py --device cpu    # a look at whether it runs; records nothing
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from figures import Figure, record
from ours import SETTINGS, run_config
from shapes import Shape, corpus

from mmsa.config import with_overrides
from mmsa.training.trainer import Position, Trainer

ALIGNED, VECTORS, TOKENS = Shape("aligned"), Shape("aligned", "vectors"), Shape("aligned", "tokens")
FINETUNED = ("mmim", "self_mm", "misa")
SHARING = (1, 2, 4, 8)
SHARED = "mmim"
"""What the trials that share a card train: a small model on cached text, as most trials of a search do."""


def trainer(name: str, shape: Shape, encoder: str, **changes: Any) -> Trainer:
    """A run on ``shape`` that is only ever stepped."""
    values = {"train.epochs": 1000, "train.threads": 1, **changes}
    config = run_config(name, shape.text)
    if shape.text == "tokens":
        values["model.text.path"] = encoder
    return Trainer(with_overrides(config, values), corpus(shape))


def steps_of(subject: Trainer, steps: int) -> Iterator[None]:
    """``steps`` steps of the first epochs, each ended on the device too."""
    done = 0
    with subject.runtime.active():
        while done < steps:
            subject.position = Position()
            for _ in subject.steps():
                yield
                done += 1
                if done == steps:
                    return


def step_seconds(subject: Trainer, steps: int) -> float:
    """Seconds of a step: the median of three stretches after one that warms up."""
    stretches = []
    for _ in range(4):
        wait(subject)
        start = time.perf_counter()
        for _ in steps_of(subject, steps):
            pass
        wait(subject)  # once a stretch: a wait a step would hide what runs ahead
        stretches.append((time.perf_counter() - start) / steps)
    return median(stretches[1:])


def wait(subject: Trainer) -> None:
    if subject.runtime.device.type == "cuda":
        torch.cuda.synchronize()


def profile_of(subject: Trainer, steps: int) -> str:
    """The operators that most time of the device goes to, and the share that the host waited."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = subject.runtime.device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=kinds) as profiler:
        for _ in steps_of(subject, steps):
            pass
        wait(subject)
    order = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    return str(profiler.key_averages().table(sort_by=order, row_limit=12, max_name_column_width=60))


def share(name: str, device: str, seconds: float, start: Any, done: Any) -> None:
    """One of several processes on the card: how many steps it makes in ``seconds``."""
    torch.set_num_threads(1)
    subject = trainer(name, VECTORS, "", **{"train.device": device})
    for _ in steps_of(subject, 20):
        pass
    wait(subject)
    start.wait()
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in steps_of(subject, 10):
            count += 1
        wait(subject)
    done.put(count)


def steps_a_second(processes: int, device: str, seconds: float) -> float:
    """Of all processes together."""
    context = get_context("spawn")
    start, done = context.Barrier(processes), context.Queue()
    arguments = (SHARED, device, seconds, start, done)
    running = [context.Process(target=share, args=arguments) for _ in range(processes)]
    for process in running:
        process.start()
    total = sum(done.get() for _ in running)
    for process in running:
        process.join()
    return total / seconds


@contextmanager
def mps() -> Iterator[bool]:
    """NVIDIA's Multi-Process Service for the processes that start within, where it can be started."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        yield False
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        started = subprocess.run([control, "-d"], check=False).returncode == 0
        try:
            yield started
        finally:
            if started:
                subprocess.run([control], input="quit\n", text=True, check=False)
            for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
                del os.environ[name]


def random_bert(folder: Path, layers: int) -> str:
    """An encoder of BERT-base's width with random weights: what is timed does not depend on them."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig(num_hidden_layers=layers), add_pooling_layer=False).save_pretrained(folder)
    return str(folder)


def of_models(args: argparse.Namespace, encoder: str) -> dict[str, Figure]:
    """A step of each model in float32 and bfloat16, and of some with the encoder trained along."""
    found: dict[str, Figure] = {}
    cases = [(name, ALIGNED if name not in FINETUNED else VECTORS) for name in SETTINGS]
    cases += [(name, TOKENS) for name in FINETUNED]
    for name, shape in cases:
        seconds = {}
        for precision in ("float32", "bfloat16"):
            changes = {"train.device": args.device, "train.precision": precision}
            subject = trainer(name, shape, encoder, **changes)
            seconds[precision] = step_seconds(subject, args.steps)
            if precision == "bfloat16" and args.profile and name in args.profile:
                print(profile_of(subject, 10))
            del subject
        case = f"{name}/{'finetuned' if shape is TOKENS else 'cached'}"
        ratio = seconds["bfloat16"] / seconds["float32"]
        print(f"{case:22s} {1e3 * seconds['float32']:8.2f} ms a step, bfloat16 {ratio:.2f} of it", flush=True)
        found[f"gpu/{case}/step_ms"] = Figure(round(1e3 * seconds["float32"], 3), "ms", "float32, this card")
        found[f"gpu/{case}/bfloat16"] = Figure(round(ratio, 3), "x", "the same step in float32")
    for name in FINETUNED:
        dear, cheap = (found[f"gpu/{name}/{kind}/step_ms"].value for kind in ("finetuned", "cached"))
        found[f"gpu/{name}/finetuned_over_cached"] = Figure(
            round(dear / cheap, 1), "x", "a step on cached text", better="higher"
        )
    return found


def of_sharing(args: argparse.Namespace) -> dict[str, Figure]:
    """Steps a second of several processes together over those of one, without and with MPS."""
    found = {}
    alone = 0.0
    for processes in SHARING:
        rate = steps_a_second(processes, args.device, args.seconds)
        alone = alone or rate
        print(f"{processes} trials on the card: {rate / alone:.2f} of the steps of one", flush=True)
        found[f"gpu/sharing/{processes}"] = Figure(
            round(rate / alone, 3), "x", "steps of one trial", better="higher"
        )
    with mps() as started:
        if not started:
            print("MPS cannot be started here")
            return found
        for processes in SHARING[1:]:
            rate = steps_a_second(processes, args.device, args.seconds)
            print(f"{processes} trials with MPS: {rate / alone:.2f} of the steps of one", flush=True)
            found[f"gpu/sharing_mps/{processes}"] = Figure(
                round(rate / alone, 3), "x", "steps of one trial without MPS", better="higher"
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--steps", type=int, default=40, help="of a stretch that is timed (default: 40)")
    parser.add_argument("--seconds", type=float, default=8.0, help="that trials share the card (default: 8)")
    parser.add_argument("--layers", type=int, default=12, help="of the fine-tuned encoder (default: 12)")
    parser.add_argument("--profile", nargs="*", default=["mmim", "mimrl"], choices=SETTINGS, metavar="MODEL")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = of_models(args, random_bert(Path(folder), args.layers))
    found |= of_sharing(args)
    if args.device == "cuda":
        card = torch.cuda.get_device_name()
        noted = {
            key: Figure(f.value, f.unit, f"{f.reference} ({card})", f.goal, f.better)
            for key, f in found.items()
        }
        print(record("gpu", noted))


if __name__ == "__main__":
    main()
