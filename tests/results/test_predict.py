"""Predictions of new rows by all seeds: tables in every form, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from launched import launched

from mmsa.config import parse
from mmsa.data import Features, Strings, Tokens, open_corpus
from mmsa.data.inputs import FeatureInput, InputSpec, TextInput
from mmsa.errors import DataError
from mmsa.experiment import RunConfig
from mmsa.results.predict import (
    _read_csv,
    _read_json,
    check_form,
    find_models,
    models_of,
    predict_rows,
    rows_to_predict,
    write_predictions,
)
from mmsa.results.served import rows_of
from mmsa.training import run, save_bundle

CONFIG = {
    "data": {"name": "planted", "rows_train": 40, "rows_valid": 20, "rows_test": 20},
    "model": {"name": "late_fusion"},
    "train": {"epochs": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with two models of the study ``mine``, and rows to predict in every form."""
    runs = tmp_path_factory.mktemp("runs")
    for seed in (1, 22):
        config = parse(RunConfig, {**CONFIG, "seed": seed}, "test")
        corpus = open_corpus(config.data)
        save_bundle(run(config, corpus), runs / "retrained" / "mine-0a1b2c" / f"seed-{seed}")
    rows: list[dict[str, Any]] = [{"id": name, "speaker": 7, "sd": 9} for name in ("a", "b", "c")]
    for name, modality in corpus["valid"].modalities().items():
        cells = np.split(modality.values, modality.offsets[1:-1])
        for row, cell in zip(rows, cells, strict=False):
            row[name] = cell.tolist()
    (runs / "rows.json").write_text(json.dumps(rows))
    (runs / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pd.DataFrame(rows).to_parquet(runs / "rows.parquet")
    as_text = [{k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows]
    pd.DataFrame(as_text).to_csv(runs / "rows.csv", index=False)
    return runs


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet", "csv"])
def test_a_table_in_every_form_gives_what_each_model_says(
    runs: Path, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"out.{'json' if ending == 'jsonl' else ending}"
    options = ("--study", "mine", "--runs", str(runs), "--data", str(runs / f"rows.{ending}"))
    assert launched(monkeypatch, "predict.py", *options, "--out", str(out)) == 0
    read = {".csv": pd.read_csv, ".json": pd.read_json, ".parquet": pd.read_parquet}[out.suffix]
    table = read(out)
    assert table["id"].tolist() == ["a", "b", "c"]
    assert table["speaker"].tolist() == [7, 7, 7]
    assert table["given sd"].tolist() == [9, 9, 9]
    models = models_of(find_models("mine", runs))
    assert list(models) == ["1", "22"]
    valid = open_corpus(models["1"].config.data)["valid"]
    for seed, model in models.items():
        assert table[f"seed {seed}"].to_numpy() == pytest.approx(model.predict(valid)[:3], abs=1e-5)
    both = table[["seed 1", "seed 22"]].to_numpy()
    assert table["prediction"].to_numpy() == pytest.approx(both.mean(axis=1))
    assert table["sd"].to_numpy() == pytest.approx(both.std(axis=1, ddof=1))


def test_what_is_no_table_or_no_model_says_so(runs: Path, tmp_path: Path) -> None:
    model = models_of(find_models("mine", runs))["1"]

    def refused(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError) as error:
            list(rows_to_predict(str(tmp_path / name), model, None, {}))
        return str(error.value)

    assert "cannot be read as json" in refused("rows.json", "[1, 2")
    assert "a column for each modality" in refused("rows.csv", "words\nhello\n")
    assert "cannot be read as parquet" in refused("rows.parquet", "PAR1")
    assert "has no rows" in refused("head.csv", "text,audio,vision\n")
    assert "has no rows" in refused("nothing.json", "[]")
    assert "cannot be read as csv" in refused("cells.csv", 'id,audio\na,"[[1.0, 2.0"\n')
    with pytest.raises(DataError, match="xls is no form of a table"):
        check_form(tmp_path / "out.xls")
    with pytest.raises(DataError, match="'mine'"):
        find_models("min", runs)
    with pytest.raises(DataError, match="no model bundle"):
        models_of(tmp_path)


def test_cells_of_csv_mean_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "id,speaker,take,clip,text,audio\n"
        '0012,7,1.10,12345678901234567890,42,"[[1.5]]"\n0013,8,1.1,1,None,\n0014,9,,2,[laughs] well,\n'
    )
    table = _read_csv(path)
    assert table["id"].tolist() == ["0012", "0013", "0014"]
    assert table["speaker"].tolist() == [7, 8, 9]
    assert table["take"].tolist()[:2] == ["1.10", "1.1"]
    assert table["clip"].tolist() == [12345678901234567890, 1, 2]
    assert table["text"].tolist() == ["42", "None", "[laughs] well"]
    assert table["audio"].tolist() == [[[1.5]], None, None]
    path.write_text('id,audio\n1,"[[1.5]"\n')
    with pytest.raises(ValueError, match="Expecting"):
        _read_csv(path)


def test_a_row_without_words_lacks_the_text(tmp_path: Path) -> None:
    """Whether its cell is empty, null or, beside rows that have the key, not there at all."""
    strings = InputSpec((-3, 3), TextInput("strings"), audio=FeatureInput.standardised(1))
    (tmp_path / "rows.csv").write_text('text,audio\nwell,"[[1.5]]"\n,"[[2.5]]"\n')
    (tmp_path / "rows.json").write_text('[{"text": "well", "audio": [[1.5]]}, {"audio": [[2.5]]}]')
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "well", "audio": [[1.5]]}\n{"text": null, "audio": [[2.5]]}'
    )
    for name, read in (("rows.csv", _read_csv), ("rows.json", _read_json), ("rows.jsonl", _read_json)):
        rows = rows_of(read(tmp_path / name), strings, encoded=True)
        assert isinstance(rows.text, Strings)
        assert rows.text.values.tolist() == ["well", ""]
    silent = pd.DataFrame({"text": [None, None], "audio": [[[1.5]], np.nan]})
    for expected, kind in (
        (TextInput("strings"), Strings),
        (TextInput("tokens"), Tokens),
        (FeatureInput.standardised(3), Features),
    ):
        rows = rows_of(silent, InputSpec((-3, 3), expected, audio=FeatureInput.standardised(1)), encoded=True)
        assert isinstance(rows.text, kind)
        assert rows.text.lengths().tolist() == [0, 0]
        assert rows.audio is not None
        assert rows.audio.lengths().tolist() == [1, 0]


def test_whole_numbers_are_token_ids_where_the_model_encodes_text_only() -> None:
    inputs = InputSpec((-3, 3), FeatureInput.standardised(3))
    ids, empty = pd.DataFrame({"text": [[101, 7, 102], [101]]}), pd.DataFrame({"text": [[], []]})
    assert isinstance(rows_of(ids, inputs, encoded=True).text, Tokens)
    with pytest.raises(DataError, match=r"text: each cell must be an array \(time steps, dimensions\)"):
        rows_of(ids, inputs, encoded=False)
    nothing = rows_of(empty, inputs, encoded=False).text
    assert isinstance(nothing, Features)
    assert nothing.lengths().tolist() == [0, 0]
    of_ids = InputSpec((-3, 3), TextInput("tokens"))
    assert isinstance(rows_of(ids, of_ids, encoded=False).text, Tokens)


def test_data_of_the_kind_that_a_model_learned_on_are_read_as_those_were(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {
        "mood": np.arange(12) % 2,
        "audio": random.normal(size=(12, 3)),
        "who": (np.arange(12) // 2).astype(str),
    }
    np.savez(tmp_path / "rows.npz", allow_pickle=False, fold=np.arange(12) // 4, **arrays)
    data = {
        "name": "custom",
        "path": "elsewhere.npz",
        "modalities": ["audio"],
        "groups": "who",
        "targets": {"mood": {"kind": "binary", "classes": ["calm", "glad"]}},
        "folds": {"array": "fold"},
    }
    config = parse(RunConfig, {**CONFIG, "data": data}, "test")
    predictor = SimpleNamespace(config=config, inputs=InputSpec((0, 1), audio=FeatureInput.standardised(3)))
    parts = list(rows_to_predict(str(tmp_path / "rows.npz"), predictor, None, {}))  # type: ignore[arg-type]
    assert [len(rows) for _, rows in parts] == [12]  # train and valid are the same rows
    assert parts[0][1].groups.tolist() == [str(row // 2) for row in range(12)]


def test_several_labels_have_no_single_prediction(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsa.results.predict.predict_rows", lambda *_: {"id": ["a"], "probability/x": [0.5]})
    options = ("--study", "mine", "--runs", str(runs), "--data", str(runs / "rows.json"))
    assert launched(monkeypatch, "predict.py", *options, "--out", str(runs / "labels.csv")) == 0
    assert (runs / "labels.csv").read_text() == "id,probability/x\na,0.5\n"


def test_no_given_column_is_lost_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a table of predictions that are predicted again."""
    monkeypatch.setattr("mmsa.results.predict.predictions", lambda models, rows: {"prediction": [0.5]})
    for names in (["given prediction", "prediction"], ["prediction", "given prediction"]):
        given = {name: [name] for name in names}
        table = predict_rows({}, [(given, None)])  # type: ignore[list-item]
        assert table == {
            "given prediction": ["given prediction"],
            "given given prediction": ["prediction"],
            "prediction": [0.5],
        }


def test_columns_that_parquet_does_not_hold_are_refused_with_what_does(tmp_path: Path) -> None:
    columns = {"id": [1, "a"], "prediction": [0.1, 0.2]}
    with pytest.raises(DataError, match=r"write \.csv or \.json"):
        write_predictions(columns, tmp_path / "out.parquet")
    write_predictions(columns, tmp_path / "out.csv")
