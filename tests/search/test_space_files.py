"""Space files: where they are found, what the command line changes, what is shipped, and the schema."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from mmsa.config import dump_yaml, with_overrides
from mmsa.errors import ConfigError
from mmsa.search.definition.files import misspelt
from mmsa.search.definition.load import SPACES, find_space, load_space, shipped
from mmsa.search.definition.schema import SCHEMA, schema_text
from mmsa.search.definition.study_config import StudyConfig


def write(path: Path, values: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def test_the_working_folder_comes_before_the_shipped_spaces(tmp_path, monkeypatch, make_values):
    monkeypatch.chdir(tmp_path)
    assert find_space("demo") == SPACES / "demo.yaml"
    write(tmp_path / "demo.yaml", make_values(study="mine"))
    assert load_space("demo").study == load_space("demo.yaml").study == "mine"
    assert load_space(tmp_path / "demo.yaml").study == "mine"


def test_an_unknown_name_gets_the_nearest_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no such file here .*(?s:.)*Did you mean 'demo.yaml'"):
        load_space("dmeo.yaml")


def test_text_that_is_no_mapping_and_keys_written_twice_are_refused(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text("- a\n- b\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="must be a mapping"):
        load_space(path)
    path.write_text("study: a\nsearch:\n  trials: 1\n  trials: 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 4: 'trials'\n +is written twice"):
        load_space(path)


def test_numbers_without_a_dot_are_refused_with_the_way_to_write_them(tmp_path, make_values):
    text = dump_yaml(make_values()).replace("low: 0.0001", "low: 1e-4")
    (tmp_path / "space.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"optim\.lr\.low: '1e-4'(?s:.)*write 1\.0e-4"):
        load_space(tmp_path / "space.yaml")


def test_set_changes_the_base(tmp_path, make_values):
    path = write(tmp_path / "space.yaml", make_values())
    config = load_space(path, {"train.epochs": 7, "model.fusion.dropout": 0.3})
    assert config.base == with_overrides(
        load_space(path).base, {"train.epochs": 7, "model.fusion.dropout": 0.3}
    )
    assert config.base.train.epochs == 7
    with pytest.raises(ConfigError, match=r"--set: 1 problem\n  optim\.lrr(?s:.)*Did you mean 'lr'"):
        load_space(path, {"optim.lrr": 0.1})
    with pytest.raises(ConfigError, match=r"with --set: 1 problem\n  base\.optim\.lr: 0\.5\n +must be from"):
        load_space(path, {"optim.lr": 0.5})


def test_starts_are_read_from_spaces_and_exported_files(tmp_path, monkeypatch, make_values):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "published" / "baseline.yaml", make_values({}, base={"optim": {"lr": 0.02}}))
    best = make_values(base={"optim": {"lr": 0.03}})["base"]
    write(tmp_path / "best.yaml", {"config": best, "provenance": {"study": "earlier"}})
    starts = ["published/baseline", "best.yaml", {"optim.lr": 0.04}, "defaults"]
    config = load_space(write(tmp_path / "space.yaml", make_values(starts=starts)))
    assert [point["optim.lr"] for point in config.starts()] == [0.001, 0.02, 0.03, 0.04]

    (tmp_path / "best.yaml").unlink()  # the configuration no longer depends on it
    again = StudyConfig.model_validate(yaml.safe_load(dump_yaml(config.model_dump())))
    assert again.starts() == config.starts()


def test_starts_that_cannot_be_read_are_refused_with_all_other_problems(tmp_path, make_values):
    values = make_values(starts=["defalts", {"optim.lr": 7.0}], trials=0)
    with pytest.raises(ConfigError) as caught:
        load_space(write(tmp_path / "space.yaml", values))
    problems = {problem.path: problem for problem in caught.value.problems}
    assert problems.keys() == {"search.starts.0", "search.starts.1.optim.lr", "search.trials"}
    assert problems["search.starts.0"].next_step == "Did you mean 'defaults'?"


def test_a_start_from_a_file_must_lie_in_the_space(tmp_path, monkeypatch, make_values):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "other.yaml", make_values({}, base={"optim": {"lr": 0.5}}))
    path = write(tmp_path / "space.yaml", make_values(starts=["other"]))
    with pytest.raises(
        ConfigError, match=r"search\.starts\.0\.optim\.lr: 0\.5\n +must be from 0\.0001 to 0\.1"
    ):
        load_space(path)
    write(tmp_path / "other.yaml", {"some": "file"})
    with pytest.raises(ConfigError, match=r"search\.starts\.0\.\(file\)(?s:.)*neither `base` nor `config`"):
        load_space(path)


def test_a_configuration_made_in_code_says_who_reads_files(make_study_config):
    with pytest.raises(ConfigError, match=r"best\.yaml(?s:.)*load_space"):
        make_study_config(starts=["best.yaml"]).starts()


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    """Checked once: `jsonschema.validate` checks the schema itself, too, each time."""
    content = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)


@pytest.mark.parametrize("name", shipped())
def test_shipped_space(name, schema):
    path = SPACES / name
    text = path.read_text(encoding="utf-8")
    up = "../" * (len(path.relative_to(SPACES).parts) - 1)
    assert text.startswith(f"# yaml-language-server: $schema={up}space.schema.json\n")
    assert f"python launch/search.py --space {name}" in text
    assert "--set" in text
    config = load_space(name)
    assert config.starts()[0] == config.space.values_of(config.base)
    schema.validate(yaml.safe_load(text))


def test_every_shipped_space_is_tested():
    assert len(shipped()) == len(list(SPACES.rglob("*.yaml"))) >= 3


def test_the_schema_is_current():
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run: python -m mmsa.search.definition.schema"


def test_the_schema_refuses_what_an_editor_can_know(make_values):
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    validator.check_schema(validator.schema)
    assert validator.is_valid(make_values())
    lr = {"type": "float", "low": 1e-4, "high": 1e-1}
    for wrong in (
        make_values({"optim.lr": {**lr, "hihg": 1.0}}),
        make_values({"optim.lr": {**lr, "low": "1e-4"}}),
        make_values({"optim.lr": {"low": 1e-4, "high": 1e-1}}),
        make_values({"optim.lr": {"type": "categorical", "choices": [[1], [2]]}}),
        make_values(objectives=[]),
        make_values(objectives=[{"metric": "valid/mae"}]),
        make_values(sampler={"name": "tpee"}),
        make_values(sampler={"startup": 3}),
        make_values(base={"model": {"name": "mmim", "fusoin": 3}}),
        make_values(base={"objective": {"terms": {"cpcc": {}}}}),
        make_values(study="my study"),
    ):
        assert not validator.is_valid(wrong)
    assert validator.is_valid(make_values(base={"objective": {"terms": {"cpc": None}}}))


def test_the_schema_tells_what_settings_mean():
    definitions = json.loads(schema_text())["$defs"]
    assert definitions["FloatParameter"]["properties"]["zero"]["description"].startswith("Probability")


def test_entries_under_names_of_ones_own_are_known_by_what_they_say(tmp_path: Path) -> None:
    text = (SPACES / "estimators.yaml").read_text(encoding="utf-8")
    assert not misspelt(SPACES / "estimators.yaml")
    changes = {
        "      shared: {term: information,": "      shared: {",
        "estimator: {name: gan_dime}, weight": "estimatr: {name: gan_dime}, weight",
        "objective.terms.apart.weight:": "objective.terms.apat.weight:",
    }
    found = []
    for right, wrong in changes.items():
        assert right in text
        (tmp_path / "wrong.yaml").write_text(text.replace(right, wrong), encoding="utf-8")
        found.append(misspelt(tmp_path / "wrong.yaml")[0])
    assert [problem.path for problem in found] == [
        "base.objective.terms.shared",
        "base.objective.terms.shared.estimatr",
        "search.parameters.objective.terms.apat.weight",
    ]
    assert "Did you mean 'objective.terms.apart.weight'?" in found[-1].next_step
