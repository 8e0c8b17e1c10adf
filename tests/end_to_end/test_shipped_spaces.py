"""Every space that comes with mmsa, through the user's own command, on random data of the shape it asks for.

``MMSA_DATA`` names a folder laid out as the spaces say, so that the paths in them are tried as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launched import launched

from mmsa.config import with_overrides
from mmsa.data.generated import make
from mmsa.errors import ConfigError
from mmsa.search.definition.load import SPACES, load_space
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.study.view import read_study

ALL = sorted(str(path.relative_to(SPACES)) for path in SPACES.rglob("*.yaml"))
DATA_SETS = [
    "demo",
    "estimators",
    "mosei",
    "mosi",
    "mosi_context",
    "mosi_minilm",
    "planted",
    "pom",
    "sims",
    "simsv2",
]
PEOPLE = ["daic", "dvlog", "eatd", "edaic"]
"""Data sets of people, of whom trees are made."""
ROWS = {"train": 24, "valid": 12, "test": 12}

# Features as MMSA's configuration gives them: text, audio, vision. Steps are fewer than in the files.
PICKLES: dict[str, tuple[int, int, int]] = {
    "MOSI/unaligned_50.pkl": (768, 5, 20),
    "MOSI/aligned_50.pkl": (768, 5, 20),
    "MOSEI/unaligned_50.pkl": (768, 74, 35),
    "SIMS/unaligned_39.pkl": (768, 33, 709),
    "SIMSv2/ch-simsv2s.pkl": (768, 33, 709),
}

# What makes a space fit a random BERT of two layers, and rows of random words.
SMALLER: dict[str, Any] = {
    "train.epochs": 1,
    "train.device": "cpu",
    "train.threads": 1,
    "model.text.max_length": 20,
    "model.text.freeze_layers": 0,
    "data.rows_train": 60,
    "data.rows_valid": 30,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_mmsa_pickle: Callable[..., Any]) -> Path:
    """A folder with a file for every data set that a space names, and test splits that nothing can read."""
    folder = tmp_path_factory.mktemp("data")
    for name, dims in PICKLES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        change = _like_sims if name.startswith("SIMS") else _sealed
        write_mmsa_pickle(folder / name, ROWS, steps=(6, 9, 12), dims=dims, change=change)
    random = np.random.default_rng(0)
    rows = sum(ROWS.values())
    split = np.repeat(list(ROWS), list(ROWS.values()))
    np.savez(
        folder / "pom_av.npz",
        audio=random.standard_normal((rows, 20, 43)).astype(np.float32),
        vision=random.standard_normal((rows, 20, 41)).astype(np.float32),
        labels=random.uniform(1, 7, (rows, 2)).astype(np.float32),
        label_names=np.array(["confident", "sentiment"]),
        split=split,
    )
    np.savez(
        folder / "mosi_utterance.npz",
        id=np.array([f"{row}" for row in range(rows)]),
        raw_text=np.array(["the film was very good", "i liked it not"])[np.arange(rows) % 2],
        audio=random.standard_normal((rows, 73)).astype(np.float32),
        vision=random.standard_normal((rows, 100)).astype(np.float32),
        label=random.uniform(-3, 3, rows),
        split_official=split,
        split_context=split,
    )
    for name in PEOPLE:
        make(name, folder / name, 30, seed=0)
    return folder


def _sealed(content: dict[str, Any]) -> None:
    for table in content.values():
        del table["text_bert"]  # of another tokenizer than the tiny encoder's
    content["test"]["regression_labels"] = ["sealed"]


def _like_sims(content: dict[str, Any]) -> None:
    for table in content.values():
        table["regression_labels"] /= 3
        for suffix in "TAV":
            table[f"regression_labels_{suffix}"] = table["regression_labels"][::-1].copy()
    _sealed(content)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path, tiny_encoder: Path
) -> Callable[..., None]:
    """``launch/search.py`` on a space with ``SMALLER`` settings, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMSA_DATA", str(data))

    def run(name: str, *arguments: str) -> None:
        smaller = {**SMALLER, "model.text.path": str(tiny_encoder)}
        settings = [f"--set={path}={value}" for path, value in _known(name, smaller).items()]
        assert launched(monkeypatch, "search.py", "--space", name, *settings, *arguments) == 0

    return run


def _known(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Those of ``changes`` that the base of the space has."""
    base, kept = load_space(name).base, {}
    for path, value in changes.items():
        try:
            with_overrides(base, {path: value})
        except ConfigError:
            continue
        kept[path] = value
    return kept


def test_all_spaces_are_here() -> None:
    assert [name.removesuffix(".yaml") for name in ALL if "/" not in name] == sorted([*DATA_SETS, *PEOPLE])
    published = [name for name in ALL if name.startswith("published/")]
    assert len(published) == len(ALL) - len(DATA_SETS) - len(PEOPLE) == 30


@pytest.mark.shipped
@pytest.mark.parametrize("name", ALL)
def test_a_dry_run_builds_it(
    name: str, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(name, "--dry-run")
    printed = capsys.readouterr().out
    config = load_space(name)
    assert f"searched parameters: {len(config.space.parameters)}\n" in printed
    assert "ms/step" in printed
    assert printed.count("reported elsewhere: ") == len(config.reported)
    if name == "mosei.yaml":
        _check_levels(printed)


def _check_levels(printed: str) -> None:
    """Of MOSEI, each level has its coefficients of MMIM and of MIMRL, each with its estimators."""
    input_level, _, fusion_level = printed.partition("  input level\n")[2].partition("  fusion level\n")
    for text, mmim, mimrl in ((input_level, 2, 7), (fusion_level, 3, 3)):
        rows = [line.split() for line in takewhile(lambda line: line.startswith("    "), text.splitlines())]
        terms = [row[0].partition(".")[0] for row in rows]
        assert (terms.count("cpc") + terms.count("barber_agakov"), terms.count("mimrl")) == (mmim, mimrl)
        assert all({"infonce", "barber_agakov", "cmi_knn_nwj"} & set(row) for row in rows)


@pytest.mark.ray
@pytest.mark.shipped
@pytest.mark.parametrize(
    "name", [*(f"{name}.yaml" for name in DATA_SETS + PEOPLE), "published/mimrl_mosi_readme.yaml"]
)
def test_it_runs(name: str, command: Callable[..., None], ray_session: None) -> None:
    """Of the published spaces, whose one trial the dry run has built and stepped, one."""
    trials_asked = 1 if name.startswith("published/") else 2  # its defaults and a point of the sampler
    command(
        name,
        *("--no-mlflow", "--trials", str(trials_asked), "--references", "ridge"),
        *("--concurrency", "1"),  # to start another process takes longer than all trials
    )
    study = read_study(load_space(name).study, Path("runs"))
    trials, finalists = study.trials(), load_space(name).search.finalists
    num_trials = trials_asked + (min(trials_asked, finalists.top) if finalists else 0)
    assert [trial.outcome for trial in trials] == ["completed"] * num_trials, trials
    metrics = {metric for trial in trials for epoch in trial.epochs.values() for metric in epoch}
    assert {"valid/mae", "valid/f1_macro"} & metrics
    assert not any(metric.startswith("test/") for metric in metrics)


def searched() -> Iterator[StudyConfig]:
    for name in DATA_SETS:
        yield load_space(name)


@pytest.mark.slow
def test_a_data_set_is_searched_with_conditions_and_exact_zeros() -> None:
    for config in searched():
        weights = {p: s for p, s in config.search.parameters.items() if p.endswith(".weight")}
        assert weights
        assert all(setting.zero for setting in weights.values()), config.study
        if config.study not in {"demo", "mosi-minilm"}:
            assert config.space.conditional
            assert any(setting.when for setting in config.search.parameters.values())


def test_a_published_setting_searches_nothing_and_says_where_figures_are_from() -> None:
    for name in ALL:
        if name.startswith("published/"):
            config = load_space(name)
            assert not config.search.parameters
            assert config.study == Path(name).stem.replace("_", "-")
