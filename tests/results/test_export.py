from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmsa.config import dump_yaml, load_yaml
from mmsa.data import open_corpus
from mmsa.data.rows import Rows
from mmsa.errors import ConfigError, StudyError
from mmsa.results.export import export
from mmsa.results.exported import Exported, load_export
from mmsa.search.costs import Resources
from mmsa.search.study.study import Study
from mmsa.search.study.view import StudyView, read_study


def test_the_best_trial_becomes_a_file_that_loads_back(study: StudyView, tmp_path: Path) -> None:
    exported = export(study, tmp_path / "deep" / "best.yaml")
    best = min(study.trials(), key=lambda record: record.values)
    assert load_export(tmp_path / "deep" / "best.yaml") == exported
    assert exported.config == study.trial_config(best)
    known = exported.provenance
    assert known is not None
    assert (known.study, known.trial, known.value) == ("small", best.number, best.values[0])
    assert known.corpus_digest == study.attributes["corpus_digest"]
    assert known.seen is not None
    rows = Rows.of(open_corpus(exported.config.data), "train", "valid")
    assert known.seen.known() == study.seen == rows
    assert known.threads == 1
    assert known.versions.keys() >= {"torch", "python"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["best.yaml"]


@pytest.mark.parametrize("number", [0, 1])
def test_trial_zero_is_a_number_like_any_other(study: StudyView, tmp_path: Path, number: int) -> None:
    known = export(study, tmp_path / "file.yaml", trial=number).provenance
    assert known is not None
    assert known.trial == number
    assert known.value == study.trials()[number].values[0]


def test_a_trial_that_is_not_there(study: StudyView, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no trial 7, only 0 to 1"):
        export(study, tmp_path / "file.yaml", trial=7)


def test_a_plain_run_configuration_is_welcome_too(study: StudyView, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(dump_yaml(study.config.base.model_dump(mode="json")))
    assert load_export(path) == Exported(config=study.config.base)


def test_every_problem_of_a_file_is_told_at_once(study: StudyView, tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    export(study, path)
    values = load_yaml(path)
    values["config"]["optim"]["lrr"] = 1.0
    values["provenance"]["trial"] = -1
    path.write_text(dump_yaml(values))
    with pytest.raises(ConfigError, match=r"2 problems(.|\n)*config\.optim\.lrr(.|\n)*'lr'(.|\n)*trial"):
        load_export(path)


def test_a_missing_file_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist(.|\n)*launch/export\.py"):
        load_export(tmp_path / "best.yaml")


def test_threads_stay_those_the_study_began_with(searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched, tmp_path / "runs")
    config = read_study("small", tmp_path / "runs").config
    more = config.model_copy(update={"resources": Resources(cpus_per_worker=3)})
    Study.open(more, tmp_path / "runs").close()
    exported = export(read_study("small", tmp_path / "runs"), tmp_path / "best.yaml")
    assert exported.config.train.threads == 1


@pytest.mark.parametrize("name", ["../../../elsewhere", "/tmp/elsewhere", "a/b", "..", "a\n"])
def test_a_study_whose_name_leads_out_of_the_runs_is_refused(
    study: StudyView, tmp_path: Path, name: str
) -> None:
    """The name in the file becomes a folder of a retraining."""
    export(study, tmp_path / "best.yaml", trial=1)
    values = load_yaml(tmp_path / "best.yaml")
    values["provenance"]["study"] = name
    (tmp_path / "edited.yaml").write_text(dump_yaml(values), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"provenance\.study: .*\n.*letters, digits"):
        load_export(tmp_path / "edited.yaml")
