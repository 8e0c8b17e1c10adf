"""Changes of a configuration at dotted paths: what they replace, and what they leave as nobody wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmsa.cli import overrides
from mmsa.config import Block, parse, with_overrides
from mmsa.errors import ConfigError
from mmsa.experiment import RunConfig
from mmsa.search.definition.load import load_space

SPACES = Path(__file__).parents[1] / "search_spaces"


def run_config(**blocks: Any) -> RunConfig:
    return parse(RunConfig, {"data": {"name": "planted"}, "model": {"name": "late_fusion"}, **blocks}, "test")


def written_paths(block: Any, path: str = "") -> set[str]:
    """The settings that somebody wrote, as dotted paths; names of components are told with the rest."""
    if not isinstance(block, Block):
        return {path}
    names = block.model_fields_set - {"name"}
    return {found for name in names for found in written_paths(getattr(block, name), f"{path}.{name}")}


@pytest.mark.parametrize(
    "name", ["demo.yaml", "mosei.yaml", "edaic.yaml", "published/mimrl_mosi_readme.yaml"]
)
def test_a_change_of_one_setting_writes_no_other(name: str) -> None:
    base = load_space(str(SPACES / name)).base
    assert with_overrides(base, {}) == base
    assert written_paths(with_overrides(base, {})) == written_paths(base)
    changed = with_overrides(base, {"train.epochs": 3})
    assert written_paths(changed) == written_paths(base) | {".train.epochs"}
    assert with_overrides(changed, {"train.epochs": base.train.epochs}) == base


def test_a_direction_follows_another_metric() -> None:
    written = {"metric": "valid/mae", "direction": "minimize"}
    for train in ({}, {"metric": "valid/mae"}, {"direction": "minimize"}, written):
        changed = with_overrides(run_config(train=train), {"train.metric": "valid/pearson"})
        assert changed.train.direction == "maximize"
        again = with_overrides(changed, {"train.epochs": 3, "train.metric": "valid/mae"})
        assert again.train.direction == "minimize"
    opposite = run_config(train={**written, "direction": "maximize"})
    kept = with_overrides(opposite, {"train.metric": "valid/rmse"})
    assert kept.train.direction == "maximize"


def test_a_direction_of_a_stored_configuration_follows_another_metric() -> None:
    """What a study or an export keeps is complete: it does not tell what somebody wrote."""
    stored = parse(RunConfig, run_config().model_dump(mode="json"), "stored")
    assert with_overrides(stored, {"train.metric": "valid/pearson"}).train.direction == "maximize"
    shipped = load_space(str(SPACES / "edaic.yaml"), {"train.metric": "valid/mae"}).base
    assert shipped.train.direction == "minimize"


def test_a_loss_that_nobody_wrote_stays_unwritten_until_it_is() -> None:
    """``mae`` stands for the default of any kind of target where it is not written."""
    base = run_config(objective={"terms": {"cpc": {}}})
    changed = with_overrides(base, {"objective.terms.cpc.weight": 0.5})
    assert "task" not in changed.objective.model_fields_set
    assert "task" in with_overrides(base, {"objective.task.name": "mae"}).objective.model_fields_set


def test_a_part_of_a_default_is_changed_and_the_rest_of_it_stays() -> None:
    base = run_config()
    changed = with_overrides(base, {"model.audio.dropout": 0.25})
    audio = base.model.audio.model_dump() | {"dropout": 0.25}
    assert changed.model.audio.model_dump() == audio
    assert changed.model.vision == base.model.vision


@pytest.mark.parametrize(("word", "advice"), [("no", "no and off as false"), ("yes", "yes and on as true")])
def test_a_word_that_yaml_reads_as_another_thing_is_to_be_quoted(word: str, advice: str) -> None:
    changes = overrides([f"data.targets={{mood: {{kind: binary, classes: [{word}, sure]}}}}"])
    base = {"name": "custom", "path": "x.npz"}
    with pytest.raises(ConfigError) as refused:
        with_overrides(parse(RunConfig, {"data": base, "model": {"name": "late_fusion"}}, "test"), changes)
    assert advice in str(refused.value)
    assert "in quotes" in str(refused.value)
