"""What others report of a setting: read with care, shown, and no part of what a study is."""

from __future__ import annotations

import pytest

from mmsa.config import parse
from mmsa.errors import ConfigError
from mmsa.reports.study_report import study_report
from mmsa.search.definition.reported import reported_lines
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.preview import dry_run
from mmsa.search.study.study import Study
from mmsa.search.study.view import read_study

PAPER = {"source": "Table 2", "selection": "unknown", "figures": {"mae": 0.7, "acc7": 0.4665}}
LINE = "reported elsewhere: mae 0.7, acc7 0.4665 (Table 2; selection: unknown)"


def config_with(values: dict, *reported: dict) -> StudyConfig:
    return parse(StudyConfig, {**values, "reported": list(reported)}, "space.yaml")


def test_it_is_shown_beside_a_study_and_changes_nothing_of_it(tmp_path, make_values):
    config = config_with(make_values(), PAPER)
    assert list(reported_lines(config.reported)) == [LINE]
    assert LINE in list(dry_run(config, tmp_path))
    with Study.open(config_with(make_values()), tmp_path) as study:
        study.bind_corpus("a" * 64)
    with Study.open(config, tmp_path) as study:
        assert study.remaining == 4
    text = study_report(read_study("tried", tmp_path), tmp_path).markdown()
    assert text.startswith("no trial has begun; 4 are asked for.")
    assert text.rstrip().endswith(LINE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"figures": {"mea": 0.7}},
            r"reported\.0\.figures\.mea: 0\.7\n +is not a metric\n +Did you mean 'mae'",
        ),
        ({"figures": {"test/mae": 0.7}}, r"is not a metric"),
        ({"figures": {"mae": "0.7"}}, r"reported\.0\.figures\.mae"),
        ({"figures": {"mae": float("nan")}}, r"reported\.0\.figures\.mae"),
        ({"figures": {}}, r"reported\.0\.figures"),
        ({"source": ""}, r"reported\.0\.source"),
        ({"sauce": "x"}, r"Did you mean 'source'"),
    ],
)
def test_figures_without_a_source_or_of_no_metric_are_refused(make_values, change, message):
    with pytest.raises(ConfigError, match=message):
        config_with(make_values(), PAPER | change)
