"""The registered model asked as a server is: plain lists, JSON, and a real server process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow_server import free_port

from mmsa.data import Split, open_corpus
from mmsa.errors import DataError
from mmsa.results.export import export
from mmsa.results.publish import Publisher
from mmsa.results.retrain import retrain
from mmsa.search.study.view import read_study
from mmsa.tracking import Location
from mmsa.training import load_bundle

Rows = list[dict[str, Any]]
Ask = Callable[[dict[str, Any]], list[float]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def published(searched: Path, runs: Path) -> tuple[str, Path, Split]:
    """The model's URI, the folder that it was registered from, and rows to ask for."""
    exported = export(read_study("small", searched), runs / "best.yaml")
    report = retrain(exported, num_seeds=1, overrides={"train.epochs": 1}, runs=runs, say=lambda line: None)
    test = open_corpus(report.config.data, ("test",))["test"]
    return Publisher(Location.of(runs)).publish(report), report.seeds[0].bundle, test


@pytest.fixture(scope="module")
def served(published: tuple[str, Path, Split], runs: Path) -> Any:
    mlflow.set_tracking_uri(Location.of(runs).uri)
    return mlflow.pyfunc.load_model(published[0])


@pytest.fixture(scope="module")
def rows(published: tuple[str, Path, Split]) -> Rows:
    """Three rows in plain lists."""
    cells = {
        name: [part.tolist() for part in np.split(modality.values, modality.offsets[1:-1])[:3]]
        for name, modality in published[2].modalities().items()
    }
    return [{name: cells[name][row] for name in cells} for row in range(3)]


@pytest.fixture(scope="module")
def expected(published: tuple[str, Path, Split]) -> np.ndarray:
    _, bundle, test = published
    return load_bundle(bundle).predict(test)[:3]


def test_plain_lists_and_arrays_of_any_kind_of_number_give_the_same(
    served: Any, rows: Rows, expected: np.ndarray
) -> None:
    tables = [pd.DataFrame(rows), rows]
    tables += [
        pd.DataFrame([{name: np.array(cell, kind) for name, cell in row.items()} for row in rows])
        for kind in (np.float32, np.float64)
    ]
    for table in tables:
        assert served.predict(table)["prediction"].to_numpy() == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def invocations() -> Callable[..., Any]:
    """What MLflow's server does with the body of a request."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow of its own type hints
        from mlflow.pyfunc.scoring_server import invocations

    return invocations  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def ask(invocations: Callable[..., Any], served: Any) -> Ask:
    """The predictions that a body is answered with."""

    def answer(body: dict[str, Any]) -> list[float]:
        schema = served.metadata.get_input_schema()
        response = invocations(json.dumps(body), "application/json", served, schema)
        assert response.status == 200, response.response
        return [row["prediction"] for row in json.loads(response.response)["predictions"]]

    return answer


def bodies(rows: Rows) -> list[dict[str, Any]]:
    """A request in every form that MLflow has for rows of different lengths."""
    names = list(rows[0])
    return [
        {"dataframe_records": rows},
        {"dataframe_split": {"columns": names, "data": [[row[name] for name in names] for row in rows]}},
        {"inputs": {name: [row[name] for row in rows] for name in names}},
    ]


@pytest.mark.parametrize("form", range(3))
def test_json_has_doubles(ask: Ask, rows: Rows, expected: np.ndarray, form: int) -> None:
    assert ask(bodies(rows)[form]) == pytest.approx(expected, abs=1e-5)


def test_json_has_whole_numbers_and_rows_without_a_modality(ask: Ask, served: Any, rows: Rows) -> None:
    whole = {name: [[0] * len(cell[0])] * 2 for name, cell in rows[0].items()}
    lacking = {**rows[1], "audio": []}
    null = {**rows[1], "audio": None}
    first, second, third = ask({"dataframe_records": [whole, lacking, null]})
    zeros = {name: np.zeros((2, len(cell[0])), np.float32) for name, cell in rows[0].items()}
    assert first == pytest.approx(served.predict(pd.DataFrame([zeros]))["prediction"][0], abs=1e-5)
    assert second == pytest.approx(third, abs=1e-5)
    assert ask({"dataframe_records": [lacking]}) == pytest.approx([second], abs=1e-5)


@pytest.mark.parametrize(
    ("cell", "rule"),
    [
        ([1.0, 2.0], "row 0 has 1 axes"),
        ([[1.0], [2.0, 3.0]], "row 0 is no array of finite numbers"),
        ([["a"]], "row 0 is no array of finite numbers"),
        ([[float("nan")]], "row 0 is no array of finite numbers"),
        ([[1.0, 2.0]], "as many dimensions; found"),
    ],
)
def test_what_is_no_table_of_frames_is_said(served: Any, rows: Rows, cell: Any, rule: str) -> None:
    with pytest.raises((DataError, MlflowException), match=rule):
        served.predict(pd.DataFrame([{**rows[0], "audio": cell}, rows[1]]))


@pytest.mark.serving
@pytest.mark.timeout(300)
def test_a_server_process_answers_a_post(
    published: tuple[str, Path, Split], runs: Path, rows: Rows, expected: np.ndarray
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
    command += ["--model-uri", published[0], "--port", str(port)]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # where uvicorn is
    environment = os.environ | {"MLFLOW_TRACKING_URI": Location.of(runs).uri, "PATH": path}
    log = runs / "serve.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        for body in bodies(rows)[:1]:
            assert post(f"http://127.0.0.1:{port}", body, process, log) == pytest.approx(expected, abs=1e-5)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def post(url: str, body: dict[str, Any], process: subprocess.Popen[bytes], log: Path) -> list[float]:
    """What it answers as soon as it does."""
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 240
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return [row["prediction"] for row in json.load(reply)["predictions"]]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.3)
