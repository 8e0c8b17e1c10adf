"""A retraining in a real MLflow database, and the registered model used as any MLflow model is."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from mmsa.results.publish import Publisher
from mmsa.results.retrain import retrain
from mmsa.results.retrained import RetrainReport, SeedResult
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
    return Publisher(Location.of(runs)).publish(report)


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
    table = Path(client.download_artifacts(parent.info.run_id, "test.json"))
    mae = json.loads(table.read_text(encoding="utf-8"))[0]
    assert (mae["metric"], mae["sd_over_seeds"]) == ("mae", report.deviation("mae"))
    assert (mae["low95"], mae["constant_is"]) == (report.intervals["mae"].low95, "median")
    assert len(parent.data.metrics) <= 20
    assert "**Test mae" in parent.data.tags["mlflow.note.content"][:200]
    inputs = [item.dataset.name for item in parent.inputs.dataset_inputs]
    assert sorted(inputs) == ["planted test"]
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
    decomposed = decompose({"text": x}, x + y, fusion=x, effort=Effort(2, 1, permutations=1, resamples=20))
    measured = replace(
        report,
        seeds=tuple(replace(seed, information=found) for seed in report.seeds),
        decomposition=decomposed,
    )
    location = Location.of(tmp_path)
    Publisher(location).publish(measured)
    client = location.connect()
    experiment = client.get_experiment_by_name("planted").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`mmsa.role` = 'retrain'")
    text = found["target/text"]
    assert parent.data.metrics["information/test.target.text"] == pytest.approx(text.value)
    assert not [name for name in parent.data.metrics if "decomposition" in name]
    table = Path(client.download_artifacts(parent.info.run_id, "decomposition-in-nats.csv"))
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    (total,) = [row for row in rows if row["quantity"] == "decomposition/subset/text"]
    assert float(total["value"]) == pytest.approx(decomposed["information/text"].raw * np.log(2))
    file = Path(client.download_artifacts(parent.info.run_id, "decomposition.json"))
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert Decomposition.from_dict(stored) == decomposed
    for child in client.search_runs([experiment], "tags.`mmsa.role` = 'seed'"):
        assert child.data.metrics["information/test.target.audio"] == found["target/audio"].value
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
    assert {path.suffix for path in files} <= {"", ".json", ".yaml", ".safetensors", ".txt", ".whl"}


@pytest.mark.slow
def test_the_wheel_beside_the_model_is_the_code_that_opens_it(model: str, runs: Path, tmp_path: Path) -> None:
    (wheel,) = {path.name: path for path in (runs / "artifacts" / "models").rglob("*.whl")}.values()
    needed = (wheel.parents[1] / "requirements.txt").read_text().splitlines()
    assert f"code/{wheel.name}" in needed
    assert not [line for line in needed if "+" in line and not line.startswith("code/")]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", str(tmp_path), str(wheel)], check=True)
    data = str(next(wheel.parents[1].rglob("weights.safetensors")).parent)
    entry = (
        "import sys, mmsa.results.served as served; "
        f"print(served.__file__); served._load_pyfunc({data!r}); "
        "print(sorted({'ray', 'optuna'} & sys.modules.keys()))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", entry], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(tmp_path / "mmsa/results/served.py"), "[]"]


def test_the_page_of_a_version_has_a_snippet_that_works(
    model: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = Location.of(runs).connect().get_model_version("small", "1")
    snippet = version.description.partition("```python\n")[2].partition("```")[0]
    mlflow.set_tracking_uri(Location.of(runs).uri)
    exec(snippet, {})  # as a reader of the page would
    assert "prediction" in capsys.readouterr().out
    assert "models:/small/1" in snippet
    assert "| mae |" in version.description


def test_a_logged_model_has_its_metrics_by_data_set(model: str, report: RetrainReport, runs: Path) -> None:
    client = Location.of(runs).connect()
    version = client.get_model_version("small", "1")
    models = client.search_logged_models([client.get_run(version.run_id).info.experiment_id])
    (logged,) = [model for model in models if model.source_run_id == version.run_id]
    found = {(metric.dataset_name, metric.key): metric.value for metric in logged.metrics}
    assert found["planted test", "test/mae"] == report.best_on_valid.test["mae"]


def test_a_second_retraining_is_the_next_version(model: str, report: RetrainReport, runs: Path) -> None:
    client = Location.of(runs).connect()
    first = client.get_model_version_by_alias("small", "current").version
    worse = replace(report, seeds=tuple(_on_valid(seed, 9.0) for seed in report.seeds))
    Publisher(Location.of(runs)).publish(worse)
    assert client.get_model_version_by_alias("small", "current").version == first + 1
    assert client.get_model_version_by_alias("small", "best").version == first
    assert Publisher(Location.of(runs)).publish(report) == model
    assert client.get_model_version_by_alias("small", "best").version == first + 2


def _on_valid(seed: SeedResult, value: float) -> SeedResult:
    return replace(seed, metrics={**seed.metrics, "valid/mae": value})


def test_a_retraining_is_seen_while_it_trains(
    mirrored: StudyView, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(store, tmp_path)
    location, said = Location.of(tmp_path), list[str]()
    publisher = Publisher(location, say=said.append)
    client = location.connect()
    seen: list[tuple[str, int]] = []

    class Watch:
        def begin(self, *arguments: Any) -> None:
            publisher.begin(*arguments)

        def epoch(self, seed: int, number: int, metrics: Mapping[str, float]) -> None:
            publisher.epoch(seed, number, metrics)
            experiment = client.get_experiment_by_name("planted").experiment_id
            (run,) = client.search_runs([experiment], f"tags.`mmsa.seed` = '{seed}'")
            seen.append((run.info.status, len(client.get_metric_history(run.info.run_id, "valid/mae"))))
            if len(seen) == 4:
                raise KeyboardInterrupt

    exported = export(mirrored, tmp_path / "best.yaml")
    with pytest.raises(KeyboardInterrupt):
        retrain(exported, num_seeds=2, overrides={}, runs=tmp_path, say=lambda line: None, watch=Watch())
    publisher.abandon()
    assert seen == [("RUNNING", 1), ("RUNNING", 2), ("RUNNING", 3), ("RUNNING", 1)]
    assert publisher.page in said[0]
    experiment = client.get_experiment_by_name("planted").experiment_id
    assert {run.info.status for run in client.search_runs([experiment])} == {"KILLED"}


@pytest.mark.slow
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
