"""Import of MMSA's configuration, from small files in its layout."""

from __future__ import annotations

import copy
import json
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsa.errors import ConfigError
from mmsa.importing import Imported, import_mmsa
from mmsa.importing.counterparts import COUNTERPARTS
from mmsa.search.definition.load import load_space

LAUNCH = Path(__file__).parents[2] / "launch" / "data.py"

DATA = {
    "dataset_root_dir": "/somewhere",
    "mosi": {
        "aligned": {
            "featurePath": "MOSI/Processed/aligned_50.pkl",
            "seq_lens": [50, 50, 50],
            "feature_dims": [768, 5, 20],
            "KeyEval": "Loss",
        },
        "unaligned": {
            "featurePath": "MOSI/Processed/unaligned_50.pkl",
            "seq_lens": [50, 500, 375],
            "feature_dims": [768, 5, 20],
            "KeyEval": "Loss",
        },
    },
}
RUN: dict[str, Any] = {
    "datasetCommonParams": DATA,
    "tfn": {
        "commonParams": {"need_data_aligned": False, "need_normalized": True, "early_stop": 8},
        "datasetParams": {
            "mosi": {
                "hidden_dims": [64, 8, 16],
                "text_out": 32,
                "post_fusion_dim": 64,
                "dropouts": [0.3, 0.3, 0.3, 0.5],
                "batch_size": 32,
                "learning_rate": 0.001,
            },
            "somewhere_else": {},
        },
    },
    "mfn": {
        "commonParams": {"need_data_aligned": True, "early_stop": 8},
        "datasetParams": {
            "mosi": {
                "hidden_dims": [32, 8, 16],
                "memsize": 24,
                "NN1Config": {"drop": 0.2, "shapes": 32},
                "batch_size": 16,
                "learning_rate": 0.002,
            }
        },
    },
    "mult": {
        "commonParams": {"need_data_aligned": False, "early_stop": 8, "attn_mask": True, "update_epochs": 8},
        "datasetParams": {
            "mosi": {
                "dst_feature_dim_nheads": [30, 6],
                "nlevels": 4,
                "conv1d_kernel_size_l": 5,
                "conv1d_kernel_size_a": 1,
                "grad_clip": 0.6,
                "batch_size": 16,
                "learning_rate": 0.002,
            }
        },
    },
    "mmim": {
        "commonParams": {"need_data_aligned": False, "use_finetune": True, "early_stop": 8, "when": 20},
        "datasetParams": {
            "mosi": {
                "alpha": 0.1,
                "beta": 0.1,
                "bidirectional": True,
                "n_layer": 1,
                "lr_bert": 5e-5,
                "batch_size": 32,
                "pretrained": "bert-base-uncased",
            }
        },
    },
    "self_mm": {
        "commonParams": {"use_finetune": True, "excludeZero": True, "update_epochs": 4, "early_stop": 8},
        "datasetParams": {
            "mosi": {"post_text_dim": 64, "learning_rate_audio": 0.005, "H": 3.0, "batch_size": 16}
        },
    },
    "graph_mfn": {"commonParams": {}, "datasetParams": {"mosi": {}}},
}
TUNE: dict[str, Any] = {
    "datasetCommonParams": {"mosi": {"unaligned": {"seq_lens": [50, 50, 50]}}},
    "tfn": {
        "commonParams": {"need_data_aligned": False, "need_normalized": True, "early_stop": 8},
        "debugParams": {
            "d_paras": ["hidden_dims", "text_out", "learning_rate", "batch_size"],
            "hidden_dims": [[64, 8, 16], [64, 8, 32]],
            "text_out": [32, 64, 4096],
            "post_fusion_dim": [16, 32],
            "batch_size": [16, 64],
            "learning_rate": [0.001],
        },
    },
    "mult": {
        "commonParams": {},
        "debugParams": {
            "d_paras": ["dst_feature_dim_nheads", "nlevels", "weight_decay"],
            "dst_feature_dim_nheads": [[30, 6], [32, 8]],
            "nlevels": [2, 4],
        },
    },
    "mmim": {
        "commonParams": {"use_finetune": False, "pretrained": "bert-base-uncased"},
        "debugParams": {
            "d_paras": ["alpha", "lr_bert", "n_layer"],
            "alpha": [0.0, 0.1, 0.3],
            "lr_bert": [0.0001, 0.001],
            "n_layer": [1, 2],
        },
    },
    "mfm": {"commonParams": {}, "debugParams": {"d_paras": []}},
    "misa": {"commonParams": {}, "debugParams": {"d_paras": []}},
}

Change = Callable[[dict[str, Any], dict[str, Any]], object]


def write(folder: Path, change: Change = lambda run, tune: None) -> tuple[Path, Path]:
    run, tune = copy.deepcopy(RUN), copy.deepcopy(TUNE)
    change(run, tune)
    paths = folder / "config_regression.json", folder / "config_tune.json"
    for path, content in zip(paths, (run, tune), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


@pytest.fixture
def imported(tmp_path: Path) -> tuple[dict[str, Imported], list[str]]:
    spaces, left_out = import_mmsa(*write(tmp_path), tmp_path / "spaces")
    return {space.name: space for space in spaces}, left_out


def test_every_model_with_a_counterpart_becomes_a_space_that_loads(tmp_path, imported):
    spaces, _ = imported
    assert spaces.keys() == {"tfn_mosi", "mfn_mosi", "mult_mosi", "mmim_mosi", "self_mm_mosi"}
    assert {path.stem for path in (tmp_path / "spaces").iterdir()} == spaces.keys()
    for name, space in spaces.items():
        read = load_space(tmp_path / "spaces" / f"{name}.yaml")
        assert read == space.config
        assert read.starts()[0] == read.space.values_of(read.base)


def test_the_shipped_point_is_the_base_and_choices_are_searched(imported):
    config = imported[0]["tfn_mosi"].config
    model, parameters = config.base.model, config.search.parameters
    assert (model.text.hidden, model.audio.output, model.vision.output) == (64, 8, 16)
    assert (model.text.output, model.fusion.width, model.fusion.dropout) == (32, 64, 0.5)
    assert (config.base.optim.lr, config.base.train.batch_size, config.base.train.patience) == (0.001, 32, 8)
    assert config.base.data.path == "${MMSA_DATA}/MOSI/Processed/unaligned_50.pkl"
    assert imported[0]["self_mm_mosi"].config.base.optim.lr_audio == 0.005
    assert {path: setting.choices for path, setting in parameters.items()} == {
        "model.vision.hidden": (16, 32),
        "model.vision.output": (16, 32),
        "model.text.output": (32, 64, 4096),
        "train.batch_size": (16, 64, 32),
    }


def test_aligned_data_are_read_by_models_that_need_them(imported):
    config = imported[0]["mfn_mosi"].config
    assert config.base.data.path == "${MMSA_DATA}/MOSI/Processed/aligned_50.pkl"
    assert (config.base.model.fusion.audio, config.base.model.audio.output) == (8, 8)
    assert not config.search.parameters
    assert config.search.trials == 1


def test_sums_become_means(imported):
    config = imported[0]["mmim_mosi"].config
    assert config.base.objective.terms["cpc"].weight == 0.3
    assert config.base.objective.terms["barber_agakov"].weight == 0.2
    assert config.search.parameters["objective.terms.cpc.weight"].choices == (0.0, 0.3, 0.9)
    assert config.base.model.audio.bidirectional


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("tfn_mosi", "need_normalized True: averages over time"),
        ("tfn_mosi", "seq_lens '[50, 500, 375]': is read"),
        ("mfn_mosi", "NN1Config.drop 0.2: has a network of its own"),
        ("mult_mosi", "dst_feature_dim_nheads: its parts only fit together"),
        ("mult_mosi", "conv1d_kernel_size_a 1: is of audio"),
        ("mult_mosi", "update_epochs 8: sums the gradients"),
        ("mmim_mosi", "when 20: is longer than early_stop"),
        ("self_mm_mosi", "update_epochs 4: sums the gradients"),
    ],
)
def test_what_does_not_carry_over_is_told_with_the_reason(tmp_path, imported, name, note):
    note = note.replace("'", "")
    assert any(entry.startswith(note) for entry in imported[0][name].lost), imported[0][name].lost
    text = (tmp_path / "spaces" / f"{name}.yaml").read_text(encoding="utf-8")
    assert note.split(":")[0] in " ".join(text.replace("#", "").split())


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("mmim_mosi", "lr_bert: the shipped 5e-05 is not among the choices of its tuning"),
        ("mmim_mosi", "use_finetune: is trained as True, but tuned as False"),
        ("mmim_mosi", "bidirectional: is trained as True, but is no setting of its tuning"),
        ("tfn_mosi", "batch_size: the shipped 32 is not among the choices"),
        ("tfn_mosi", "post_fusion_dim: has choices that its tuning never draws"),
        ("tfn_mosi", "hidden_dims: its parts are drawn together there"),
        ("mmim_mosi", "n_layer: is more than one setting here"),
        ("mmim_mosi", "With n_layer above 1 MMSA reads the first layer"),
        ("tfn_mosi", "seq_lens: is trained as [50, 500, 375], but tuned as [50, 50, 50]"),
        ("mult_mosi", "weight_decay: is to be drawn in its tuning, but has no choices"),
    ],
)
def test_where_mmsa_tunes_another_model_than_it_trains_is_told(imported, name, note):
    assert any(entry.startswith(note) for entry in imported[0][name].mismatches), imported[0][name].mismatches


def test_what_is_left_out_altogether_is_told(imported):
    assert imported[1] == [
        "tfn on somewhere_else: is no data set both here and in the file",
        "mfn: is trained by MMSA but never tuned; its space has nothing to search",
        "self_mm: is trained by MMSA but never tuned; its space has nothing to search",
        "graph_mfn: has no counterpart here",
        "mfm: has no counterpart here",
        "misa: is tuned by MMSA but never trained, so that there is no shipped point",
    ]


def test_a_shipped_point_that_cannot_be_built_is_left_out(tmp_path):
    def widen(run: dict[str, Any], tune: dict[str, Any]) -> None:
        run["tfn"]["datasetParams"]["mosi"] |= {"text_out": 60_000, "post_fusion_dim": 60_000}

    spaces, left_out = import_mmsa(*write(tmp_path, widen), tmp_path / "spaces")
    assert "tfn_mosi" not in {space.name for space in spaces}
    assert any("GiB to train, more than any machine has" in note for note in left_out)


def at(*keys: str, value: Any) -> Change:
    def change(run: dict[str, Any], tune: dict[str, Any]) -> None:
        table = run if keys[0] == "run" else tune
        for key in keys[1:-1]:
            table = table[key]
        table[keys[-1]] = value

    return change


SHIPPED = ("run", "tfn", "datasetParams", "mosi")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("run", "tfn", value=3), r"tfn"),
        (
            at("run", "tfn", value={"commonParams": {}}),
            r"tfn\.datasetParams: None\n +is required|datasetParams",
        ),
        (at("tune", "tfn", "debugParams", value={}), r"d_paras"),
        (at("run", "datasetCommonParams", value=[1]), r"datasetCommonParams"),
        (
            at(*SHIPPED, "batch_size", value="many"),
            r"tfn\.mosi\.batch_size: 'many'\n +must be a whole number",
        ),
        (at(*SHIPPED, "batch_size", value=True), r"tfn\.mosi\.batch_size: True\n +must be a whole number"),
        (
            at(*SHIPPED, "hidden_dims", value=[1, 2]),
            r"tfn\.mosi\.hidden_dims: \[1, 2\]\n +must be a list of 3",
        ),
        (at(*SHIPPED, "learning_rate", value=-1.0), r"tfn\.mosi\.base\.optim\.lr: -1\.0\n +Input should be"),
        (at(*SHIPPED, "dropouts", value=[0.1, 0.2, 0.3, 7]), r"model\.fusion\.dropout: 7"),
        (
            at("tune", "tfn", "debugParams", "hidden_dims", value=[[64, 8], [1, 2, "x"]]),
            r"(?s)must be a list of 3.*must be a whole number",
        ),
        (
            at("run", "datasetCommonParams", "mosi", "unaligned", "featurePath", value="../../etc/passwd"),
            r"featurePath: '../../etc/passwd'\n +must be a path below",
        ),
        (
            at("run", "datasetCommonParams", "mosi", "unaligned", "feature_dims", value=[768, 10**12, 5]),
            r"feature_dims.*\n +must be the widths",
        ),
    ],
)
def test_wrong_values_are_refused_and_nothing_is_written(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        import_mmsa(*write(tmp_path, change), tmp_path / "spaces")
    assert not (tmp_path / "spaces").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "must be an object of models, not a list"),
        ('{"a": 1, "a": 2}', "written twice among a, a"),
        ('{"tfn": {"commonParams": {"early_stop": NaN}}}', "NaN is not a number"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("1" * 10_000, "cannot be read as JSON"),
    ],
)
def test_text_that_is_not_such_a_file_is_refused(tmp_path, text, message):
    run, tune = write(tmp_path)
    run.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        import_mmsa(run, tune, tmp_path / "spaces")
    with pytest.raises(ConfigError, match=r"nowhere\.json"):
        import_mmsa(tmp_path / "nowhere.json", tune, tmp_path / "spaces")


def test_files_that_exist_are_kept(tmp_path):
    paths = write(tmp_path)
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "tfn_mosi.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="exists already"):
        import_mmsa(*paths, tmp_path / "spaces")
    assert [path.read_text() for path in (tmp_path / "spaces").iterdir()] == ["mine"]


def test_foreign_text_stays_in_its_comment(tmp_path):
    def sneak(run: dict[str, Any], tune: dict[str, Any]) -> None:
        run["tfn"]["datasetParams"]["mosi"]["x\nstudy: stolen"] = "y\u2028study: stolen"

    spaces, _ = import_mmsa(*write(tmp_path, sneak), tmp_path / "spaces")
    assert load_space(tmp_path / "spaces" / "tfn_mosi.yaml").study == "mmsa-tfn-mosi"
    text = next(space for space in spaces if space.name == "tfn_mosi").text()
    assert all(line.startswith("#") for line in text.splitlines() if "stolen" in line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_value_anywhere_is_imported_or_refused(tmp_path_factory, data):
    def spoil(run: dict[str, Any], tune: dict[str, Any]) -> None:
        table: Any = data.draw(st.sampled_from([run, tune]))
        while True:
            key = data.draw(st.sampled_from(sorted(table)))
            if not isinstance(table[key], dict) or not table[key] or data.draw(st.booleans()):
                table[key] = data.draw(JSON)
                return
            table = table[key]

    folder = tmp_path_factory.mktemp("fuzzed")
    spaces: list[Imported] = []
    with suppress(ConfigError):
        spaces, _ = import_mmsa(*write(folder, spoil), folder / "spaces")
    assert (folder / "spaces").exists() == bool(spaces)
    for space in spaces:
        assert load_space(folder / "spaces" / f"{space.name}.yaml") == space.config


def test_the_command_writes_and_tells(tmp_path, monkeypatch, capsys):
    run, tune = write(tmp_path)
    command = ["data.py", "import-mmsa", str(run), str(tune), "--out", str(tmp_path / "spaces")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(LAUNCH), run_name="__main__")
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path}/spaces/mmim_mosi.yaml: 4 searched parameters" in printed
    assert "  does not carry over: when 20" in printed
    assert "  differs: use_finetune" in printed
    assert "left out: graph_mfn" in printed


def test_no_setting_is_both_carried_and_lost():
    for name, counterpart in COUNTERPARTS.items():
        assert not counterpart.settings.keys() & counterpart.lost.keys(), name
