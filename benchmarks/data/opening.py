"""What it takes to the first batch, how much memory eight workers share, and how fast a long csv is read.

    python benchmarks/data/opening.py [--folder DIR]

Every measurement is made in a process of its own, files are in the cache of the disk, and both sides of a
ratio take turns, because the speed of the machine changes from minute to minute.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpora import CSV_ROWS, ROWS, write_csv, write_pickle
from figures import Figure, record

TURNS, WORKERS, BATCH = 5, 8, 32


def data_config(path: str, text: str = "features") -> object:
    from mmsa.config import parse
    from mmsa.data.catalogue import DATA_SETS

    return parse(DATA_SETS["mosei"].Config, {"path": path, "text": text}, "benchmark")  # type: ignore[attr-defined]


def first_batch(path: str) -> tuple[float, float]:
    """Seconds until a model could be built and its first step made, torch and mmsa being imported.

    By the clock, and of computing in this process and in the one that reads, which other work on the machine
    does not change.
    """
    from mmsa.data.batches import Batches
    from mmsa.data.catalogue import open_corpus
    from mmsa.data.inputs import InputSpec
    from mmsa.data.isolation import _Helper

    started, computed = time.perf_counter(), time.process_time()
    corpus = open_corpus(data_config(path))  # type: ignore[arg-type]
    InputSpec.of(corpus)
    batch = next(iter(Batches(corpus["train"], BATCH).epoch(0)))
    assert len(batch) > BATCH // 2
    seconds, own = time.perf_counter() - started, time.process_time() - computed
    assert _Helper.current is not None
    spent = Path(f"/proc/{_Helper.current._process.pid}/stat").read_text().rpartition(")")[2].split()
    return seconds, own + (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")


def unpickled(path: str) -> float:
    """Seconds until the same batch from ``pickle.load``, which checks nothing and standardises nothing."""
    import pickle

    import numpy as np
    import torch

    started = time.perf_counter()
    with Path(path).open("rb") as file:
        train = pickle.load(file)["train"]  # noqa: S301 - written by this benchmark
    rows = np.random.default_rng(0).permutation(len(train["id"]))[:BATCH]
    for name in ("text", "audio", "vision"):
        torch.from_numpy(train[name][rows])
    return time.perf_counter() - started


def csv_seconds(path: str, how: str) -> tuple[float, float]:
    """Seconds to an array of the features, and mebibytes that the process took at most beyond its imports."""
    import numpy as np
    import pandas
    import pyarrow.csv

    from mmsa.data.readers.delimited import read_numbers

    assert pyarrow.csv
    before = peak()
    started = time.perf_counter()
    if how == "mmsa":
        values = read_numbers(Path(path), ";", lambda name: name.startswith("mfcc"))[1]
    elif how == "pandas":
        values = pandas.read_csv(path, sep=";").iloc[:, 2:].to_numpy(np.float32)
    else:
        import csv

        with Path(path).open(newline="") as file:
            reader = csv.reader(file, delimiter=";")
            next(reader)
            values = np.array([[float(number) for number in row[2:]] for row in reader], np.float32)
    seconds = time.perf_counter() - started
    assert values.shape[0] == CSV_ROWS
    return seconds, (peak() - before) / 1024


def peak() -> int:
    """The most memory that this process had, in KiB; ``ru_maxrss`` would remember its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError


def pss() -> int:
    """Proportional set size of this process in KiB: a page that n processes map counts 1/n."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError


def worker(path: str, barrier: object, answers: object) -> None:
    import torch

    from mmsa.data.batches import Batches
    from mmsa.data.catalogue import open_corpus

    torch.set_num_threads(1)
    barrier.wait()  # type: ignore[attr-defined]
    before = pss()
    barrier.wait()  # type: ignore[attr-defined]
    corpus = open_corpus(data_config(path))  # type: ignore[arg-type]
    for _ in Batches(corpus["train"], BATCH).epoch(0):
        pass
    barrier.wait()  # type: ignore[attr-defined]
    after = pss()
    barrier.wait()  # type: ignore[attr-defined]
    answers.put((before, after))  # type: ignore[attr-defined]


def memory(path: str, count: int) -> tuple[float, float]:
    """Summed PSS of workers after an epoch in MiB: what the data added, and everything."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(count), context.Queue()
    workers = [context.Process(target=worker, args=(path, barrier, answers)) for _ in range(count)]
    for process in workers:
        process.start()
    found = [answers.get(timeout=900) for _ in workers]
    for process in workers:
        process.join()
    return sum(after - before for before, after in found) / 1024, sum(after for _, after in found) / 1024


def apart(*arguments: str) -> list[float]:
    """What this script measures in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", *arguments], capture_output=True, text=True, check=True
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def measured(what: str, *arguments: str) -> list[float]:
    if what == "first_batch":
        return list(first_batch(*arguments))
    if what == "unpickled":
        return [unpickled(*arguments)]
    return list(csv_seconds(*arguments))


def opening(folder: Path) -> dict[str, Figure]:
    pickled, store = folder / "mosei.pkl", folder / "store"
    if not store.exists():
        write_pickle(pickled)
        command = ["launch/data.py", "convert", str(pickled), "--name", "mosei", "--out", str(store)]
        subprocess.run([sys.executable, *command, "--set", "data.text=features"], check=True)
    ours, computed, plain, reader = [], [], [], []
    for _ in range(TURNS):
        seconds, cpu = apart("first_batch", str(store))
        ours.append(seconds)
        computed.append(cpu)
        plain += apart("unpickled", str(pickled))
    for _ in range(2):
        reader.append(apart("first_batch", str(pickled))[0])
    size = pickled.stat().st_size / 2**30
    shape = f"{ROWS['train']:,} clips of three modalities, narrower than MOSEI's: a pickle of {size:.1f} GiB"
    one, eight = memory(str(store), 1), memory(str(store), WORKERS)
    return {
        "open/first_batch_s": Figure(
            median(ours), "s", f"{shape}; with a new process that reads, without imports", goal=1.0
        ),
        "open/first_batch_cpu_s": Figure(
            median(computed),
            "s",
            "computing of both processes, which a busy machine does not lengthen",
            goal=1.0,
        ),
        "open/pickle_load_s": Figure(median(plain), "s", f"{shape}; pickle.load, which checks nothing"),
        "open/speedup_vs_pickle": Figure(
            median(plain) / median(ours), "x", "pickle.load and a batch", goal=1.0, better="higher"
        ),
        "open/speedup_vs_reader": Figure(
            median(reader) / median(ours), "x", "mmsa's reader of the same pickle", better="higher"
        ),
        "memory/pss_8_over_1": Figure(
            eight[0] / one[0], "x", f"what an epoch adds to {WORKERS} idle workers and to one", goal=1.2
        ),
        "memory/pss_8_over_1_whole": Figure(
            eight[1] / one[1], "x", "the same with interpreter and torch, which are not shared"
        ),
        "memory/one_mib": Figure(one[0], "MiB", "what an epoch adds to one idle worker"),
    }


def long_csv(folder: Path) -> dict[str, Figure]:
    path = folder / "mfcc.csv"
    if not path.exists():
        write_csv(path)
    found: dict[str, list[list[float]]] = {"mmsa": [], "pandas": [], "csv": []}
    for _ in range(3):
        for how, turns in found.items():
            turns.append(apart("csv", str(path), how))
    seconds = {how: median(turn[0] for turn in turns) for how, turns in found.items()}
    size = path.stat().st_size / 2**20
    what = f"{CSV_ROWS:,} rows of 41 columns, {size:.0f} MiB, to an array"
    return {
        "csv/rows_per_s": Figure(CSV_ROWS / seconds["mmsa"], "rows/s", what, better="higher"),
        "csv/speedup_vs_pandas": Figure(
            seconds["pandas"] / seconds["mmsa"], "x", f"{what}; pandas.read_csv", goal=1.0, better="higher"
        ),
        "csv/speedup_vs_csv": Figure(
            seconds["csv"] / seconds["mmsa"], "x", f"{what}; the csv module", goal=1.0, better="higher"
        ),
        "csv/peak_mib": Figure(
            median(turn[1] for turn in found["mmsa"]), "MiB", "most memory beyond imports", goal=4 * size
        ),
        "csv/peak_mib_pandas": Figure(
            median(turn[1] for turn in found["pandas"]), "MiB", "the same of pandas"
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where files are kept between runs")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measured(*args.measure)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        figures = {**opening(folder), **long_csv(folder)}
    print(record("data", figures).read_text(encoding="utf-8"))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
