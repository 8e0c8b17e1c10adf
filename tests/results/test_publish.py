"""A retraining in a real MLflow database, and the registered model used as any MLflow model is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from launched import LAUNCH, launched
from mlflow.exceptions import MlflowException

from mmsa.data import Features, Split, open_corpus
from mmsa.information import decompose
from mmsa.information.copula_panel import CopulaPanel
from mmsa.information.target import Decomposition, Effort
from mmsa.results.export import export
from mmsa.results.publish import publish
from mmsa.results.retrain import retrain
from mmsa.results.retrained import RetrainReport
from mmsa.search.study.cards import study_card, trial_card
from mmsa.search.study.view import StudyView, read_study
from mmsa.tracking import Location, rebuild


@pytest.fixture(scope="module")
def runs(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs: Path = tmp_path_factory.mktemp("runs")
    shutil.copy(store, runs)
    return runs


@pytest.fixture(scope="module")
def mirrored(searched: Path, runs: Path) -> StudyView:
    """The study, mirrored before anything is retrained."""
    study = read_study("small", searched)
    rebuild(Location.of(runs), study_card(study), [trial_card(study, record) for record in study.trials()])
    return study


@pytest.fixture(scope="module")
def report(mirrored: StudyView, runs: Path) -> RetrainReport:
    exported = export(mirrored, runs / "best.yaml")
    return retrain(exported, num_seeds=2, overrides={}, runs=runs, say=lambda line: None)


@pytest.fixture(scope="module")
def model(report: RetrainReport, runs: Path) -> str:
    return publish(report, Location.of(runs))


def rows(split: Split) -> pd.DataFrame:
    def cells(modality: Features) -> list[np.ndarray]:
        return np.split(modality.values, modality.offsets[1:-1])

    return pd.DataFrame({name: cells(modality) for name, modality in split.modalities().items()})


def test_no_test_metric_exists_before_a_retraining(mirrored: StudyView, store: Path, tmp_path: Path) -> None:
    shutil.copy(store, tmp_path)
    location = Location.of(tmp_path)
    rebuild(location, study_card(mirrored), [trial_card(mirrored, record) for record in mirrored.trials()])
    client = location.connect()
    names = {name for record in mirrored.trials() for name in (*record.metrics, *record.reported)}
    names |= {name for record in mirrored.trials() for values in record.epochs.values() for name in values}
    for run in client.search_runs([client.get_experiment_by_name("planted").experiment_id]):
        names |= set(run.data.metrics)
    assert "valid/mae" in names
    assert not [name for name in names if "test" in str(name)]


def test_a_run_for_all_seeds_and_a_child_for_each(model: str, report: RetrainReport, runs: Path) -> None:
    client = Location.of(runs).connect()
    experiment = client.get_experiment_by_name("planted").experiment_id
    child = client.get_run(client.get_model_version("small", "1").run_id)
    parent = client.get_run(child.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["mmsa.role"] == "retrain"
    assert parent.data.metrics["test/mae"] == report.intervals["mae"].estimate
    assert parent.data.metrics["test_sd/mae"] == report.deviation("mae")
    assert parent.data.tags["mmsa.reproduced"] == "True"
    assert parent.info.status == "FINISHED"
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    found = {run.data.tags["mmsa.seed"]: run.data.metrics["test/mae"] for run in children}
    assert found == {str(seed.seed): seed.test["mae"] for seed in report.seeds}
    assert {run.data.tags["mmsa.role"] for run in children} == {"seed"}
    history = client.get_metric_history(children[0].info.run_id, "valid/mae")
    assert [point.step for point in history] == [1, 2, 3]


def test_information_on_test_has_a_name_that_says_so(
    report: RetrainReport, store: Path, tmp_path: Path
) -> None:
    shutil.copy(store, tmp_path)
    x, y = np.random.default_rng(0).standard_normal((2, 80))
    panel = CopulaPanel({"x": x, "twin": x + 0.5 * y, "y": y})
    found = {"target/text": panel.measure("x", "twin"), "target/audio": panel.measure("x", "y")}
    decomposed = decompose({"text": x}, x + y, fusion=x, effort=Effort(2, 1, permutations=2, resamples=20))
    measured = replace(
        report,
        seeds=tuple(replace(seed, information=found) for seed in report.seeds),
        decomposition=decomposed,
    )
    location = Location.of(tmp_path)
    publish(measured, location)
    client = location.connect()
    experiment = client.get_experiment_by_name("planted").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`mmsa.role` = 'retrain'")
    text = found["target/text"]
    assert parent.data.metrics["information/test/target/text"] == pytest.approx(text.value)
    total = parent.data.metrics["information/test/decomposition/subset/text"]
    assert total == pytest.approx(decomposed["information/text"].raw * np.log(2))
    file = Path(client.download_artifacts(parent.info.run_id, "decomposition.json"))
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert Decomposition.from_dict(stored) == decomposed
    for child in client.search_runs([experiment], "tags.`mmsa.role` = 'seed'"):
        assert child.data.metrics["information/test/target/text/low"] == text.low
        assert child.data.metrics["information/test/target/audio"] == found["target/audio"].value
        table = Path(client.download_artifacts(child.info.run_id, "information.csv")).read_text()
        assert [line.split(",")[:2] for line in table.splitlines()[1:]] == [
            ["target/text", "ok"],
            ["target/audio", "below_null"],
        ]


def test_the_registered_model_is_the_seed_that_is_best_on_valid(
    model: str, report: RetrainReport, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.set_tracking_uri(Location.of(runs).uri)
    loaded = mlflow.pyfunc.load_model(model)
    test = open_corpus(report.config.data, ("test",))["test"]
    table = rows(test)
    predictions = loaded.predict(table)["prediction"].to_numpy()
    best = min(report.seeds, key=lambda seed: seed.metrics["valid/mae"])
    assert np.abs(predictions - test.labels).mean() == pytest.approx(best.test["mae"], abs=1e-6)
    one = loaded.predict(table.iloc[[7]])["prediction"].to_numpy()
    assert one == pytest.approx(predictions[[7]], abs=1e-5)
    with pytest.raises(MlflowException, match="vision"):
        loaded.predict(table.drop(columns="vision"))


def test_the_model_folder_holds_no_pickle(model: str, runs: Path) -> None:
    files = [path for path in (runs / "artifacts" / "models").rglob("*") if path.is_file()]
    assert {"MLmodel", "weights.safetensors", "inputs.json"} <= {path.name for path in files}
    assert {path.suffix for path in files} <= {"", ".json", ".yaml", ".safetensors", ".txt"}


def test_a_second_retraining_is_the_next_version(model: str, report: RetrainReport, runs: Path) -> None:
    client = Location.of(runs).connect()
    first = client.get_model_version_by_alias("small", "current").version
    assert publish(report, Location.of(runs)) == model
    assert client.get_model_version_by_alias("small", "current").version == first + 1


def test_the_three_commands(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Export, retrain and report as a user runs them."""
    monkeypatch.chdir(tmp_path)
    study = ("--study", "small", "--runs", str(searched))
    assert launched(monkeypatch, "export.py", *study, "--out", "best.yaml", "--trial", "0") == 0
    assert "trial 0 of small, valid/mae " in capsys.readouterr().out
    # In a process of its own: what MLflow and its database say when they are loaded must not be seen.
    arguments = ("--config", "best.yaml", "--seeds", "2", "--set", "train.epochs=1")
    command = [sys.executable, str(LAUNCH / "retrain.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "registered model: models:/small@current" in done.stdout
    assert f"mlflow ui --backend-store-uri sqlite:///{tmp_path.resolve()}/runs/mlflow.db" in done.stdout
    assert launched(monkeypatch, "report.py", "--study", "smal", "--runs", str(searched)) == 2
    assert "'small'" in capsys.readouterr().err
    assert launched(monkeypatch, "report.py", *study) == 0
    assert "trial 0 (defaults)" in capsys.readouterr().out
