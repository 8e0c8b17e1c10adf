from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmsa.results.retrain
import mmsa.results.sealed
from mmsa.config import parse
from mmsa.data import Corpus, open_corpus
from mmsa.data.ledger import LEDGER, Ledger
from mmsa.errors import ConfigError, DataError, TrainingDiverged
from mmsa.experiment import RunConfig
from mmsa.information.panel import CORE, names
from mmsa.information.target import Decomposition, Effort
from mmsa.measurement import Measurement
from mmsa.reports.study_report import study_report
from mmsa.results.export import export
from mmsa.results.exported import Exported
from mmsa.results.retrain import retrain
from mmsa.results.retrained import RetrainReport
from mmsa.results.sealed import digest
from mmsa.search.study.view import StudyView


@pytest.fixture
def exported(study: StudyView, tmp_path: Path) -> Exported:
    return export(study, tmp_path / "best.yaml", trial=1)


def again(exported: Exported, runs: Path, **settings: Any) -> tuple[RetrainReport, list[str]]:
    said: list[str] = []
    arguments: dict[str, Any] = {"num_seeds": 1, "overrides": {}, "runs": runs, "say": said.append}
    return retrain(exported, **{**arguments, **settings}), said


@pytest.mark.parametrize("number", [0, 1])
def test_the_exported_trial_is_reproduced_to_the_last_bit(
    study: StudyView, tmp_path: Path, number: int
) -> None:
    exported = export(study, tmp_path / "trial.yaml", trial=number)
    result, said = again(exported, tmp_path)
    assert result.reproduced is True
    assert result.seeds[0].metrics["valid/mae"] == study.trials()[number].values[0]
    assert said[3].startswith(f"trial {number} of small is reproduced exactly")
    assert said[0].startswith("seed 1/2 (0) epoch 1: valid/mae ")


def test_a_value_that_differs_is_told_with_what_may_explain_it(exported: Exported, tmp_path: Path) -> None:
    known = exported.provenance
    assert known is not None
    other = known.model_copy(update={"value": known.value + 1e-9, "versions": {"torch": "1.0"}})
    result, said = again(exported.model_copy(update={"provenance": other}), tmp_path)
    assert result.reproduced is False
    assert "torch 1.0, here " in said[3]


def test_test_is_opened_once_after_all_seeds_and_written_down(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    def opened(config: Any, splits: Sequence[Any] = ("train", "valid")) -> Corpus:
        events.append("+".join(splits))
        if "test" in splits:
            assert len(Ledger(tmp_path / LEDGER).openings()) == 1
        return open_corpus(config, splits)

    for module in (mmsa.results.retrain, mmsa.results.sealed):
        monkeypatch.setattr(module, "open_corpus", opened)
    result, _ = again(exported, tmp_path, num_seeds=1, say=lambda line: events.append(line[:8]))
    assert events == ["train+valid", *["seed 1/2"] * 3, "trial 1 ", *["seed 2/2"] * 3, "test"]
    (opening,) = Ledger(tmp_path / LEDGER).openings()
    assert opening.seeds == [result.seeds[0].seed, result.seeds[1].seed]
    assert opening.selected == exported.config.seed
    assert opening.metrics == [dict(seed.test) for seed in result.seeds]
    assert opening.means() == dict(result.fresh[0].test)
    assert opening.test_digest == open_corpus(exported.config.data, ("test",))["test"].digest


def test_the_report_is_about_fresh_seeds_with_spread_and_interval(exported: Exported, tmp_path: Path) -> None:
    result, _ = again(exported, tmp_path, num_seeds=2)
    assert [seed.selected for seed in result.seeds] == [True, False, False]
    maes = [seed.test["mae"] for seed in result.seeds[1:]]
    assert len({seed.test["mae"] for seed in result.seeds}) == 3
    assert result.intervals["mae"].estimate == pytest.approx(sum(maes) / 2)
    assert result.deviation("mae") == pytest.approx(abs(maes[0] - maes[1]) / 2**0.5)
    lines = result.text().splitlines()
    assert lines[0] == "test: 2 fresh seeds, 40 rows of 8 groups"
    assert lines[1].split()[:3] == ["selected", "seed", str(result.seeds[1].seed)]
    mae = next(line for line in lines if line.startswith("mae"))
    assert f"{sum(maes) / 2:.4f} ± " in mae
    assert any(line.startswith("8 groups are few") for line in lines)
    assert lines[-1] == "test was opened for the first time for study small"


def test_a_configuration_that_nobody_selected_begins_with_its_own_seed(
    exported: Exported, tmp_path: Path
) -> None:
    result, _ = again(Exported(config=exported.config), tmp_path, num_seeds=2)
    assert [seed.selected for seed in result.seeds] == [False, False]
    assert result.seeds[0].seed == exported.config.seed
    assert "selected" not in result.text()


def test_constants_stand_beside_every_result_and_are_told_where_they_win(
    exported: Exported, tmp_path: Path
) -> None:
    """The labels are turned into noise, so that no model can beat the median, and one that learns does."""
    result, _ = again(exported, tmp_path, overrides={"optim.lr": 1e-6, "train.epochs": 1})
    labels = open_corpus(exported.config.data, ("train", "test"))
    median = float(np.median(labels["train"].labels))
    assert result.constants["median"]["mae"] == pytest.approx(np.abs(labels["test"].labels - median).mean())
    assert "mae" not in result.constants["majority"]
    lines = result.text().splitlines()
    assert lines[1].split()[-3:] == ["median", "mean", "majority"]
    told = [line for line in lines if line.startswith("  mae ")]
    assert len(told) == 1
    assert re.search(r" is (no|not surely) better than \d\.\d{4}, the \w+ of train", told[0])


def test_information_is_measured_on_test_for_every_seed(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsa.results.test_information.FAST", Effort(2, 1, permutations=0, resamples=20))
    more_rows = {"data.rows_test": 80, "data.modalities": ["text", "audio"]}
    result, _ = again(exported, tmp_path, overrides=more_rows)
    for seed in result.seeds:
        assert list(seed.information) == names(CORE, ("text", "audio"))
        assert seed.information["target/text"].num_samples == 80
    assert result.decomposition is not None
    assert result.decomposition.num_samples == 80
    (file,) = tmp_path.glob("retrained/*/information.json")
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert {
        seed: {name: Measurement.from_dict(record) for name, record in records.items()}
        for seed, records in stored["seeds"].items()
    } == {str(seed.seed): seed.information for seed in result.seeds}
    assert Decomposition.from_dict(stored["decomposition"]) == result.decomposition
    text = result.text()
    assert "information on test, in nats" in text
    assert f"seed {result.best_on_valid.seed}: information about the target in bits" in text
    assert len(Ledger(tmp_path / LEDGER).openings()) == 1


def test_nothing_is_measured_on_test_where_nothing_is_asked_for(exported: Exported, tmp_path: Path) -> None:
    result, _ = again(exported, tmp_path, overrides={"information.quantities": []})
    assert result.decomposition is None
    assert result.seeds[0].information == {}
    assert "information" not in result.text()


def test_what_cannot_be_measured_costs_no_opening(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise DataError("the target has the same value in all rows")

    monkeypatch.setattr("mmsa.results.retrain.decomposed", refuse)
    result, said = again(exported, tmp_path)
    assert said[-1] == "information on test was not measured: the target has the same value in all rows"
    assert Ledger(tmp_path / LEDGER).openings()[0].metrics == [dict(seed.test) for seed in result.seeds]


def test_every_further_opening_is_held_against_the_study(
    exported: Exported, study: StudyView, tmp_path: Path
) -> None:
    assert "test: never opened for this study" in study_report(study, tmp_path).markdown()
    again(exported, tmp_path)
    result, _ = again(exported, tmp_path, overrides={"optim.lr": 0.01})
    assert result.earlier == 1
    assert result.reproduced is None
    assert "had been opened 1 time before for study small" in result.text()
    text = study_report(study, tmp_path).markdown()
    assert "test: opened 2 times for this study" in text
    assert re.search(r"\| trial 1, optim.lr=0.01 +\| +1 \| mae 0", text)
    assert (
        "vectors of the retrained model on test" in text
    )  # its decomposition is the study's, without another


def test_a_seed_that_diverges_leaves_test_closed(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged):
        again(exported, tmp_path, overrides={"optim.lr": 1e30, "optim.clip_norm": 0.0})
    assert not (tmp_path / LEDGER).exists()


def test_other_data_than_the_search_saw_is_refused(exported: Exported, tmp_path: Path) -> None:
    known = exported.provenance
    assert known is not None
    elsewhere = exported.model_copy(
        update={"provenance": known.model_copy(update={"corpus_digest": "0" * 64})}
    )
    with pytest.raises(DataError, match="are not those that study 'small' saw"):
        again(elsewhere, tmp_path)


def test_other_data_on_purpose_is_another_question(exported: Exported, tmp_path: Path) -> None:
    result, _ = again(exported, tmp_path, overrides={"data.seed": 1})
    assert result.reproduced is None
    assert result.opening.overrides == {"data.seed": 1}


def test_a_configuration_keeps_its_digest_when_its_terms_gain_settings() -> None:
    """By which the ledger knows earlier openings; as the commit before these settings had it."""
    terms = {"cpc": {"weight": 0.1}, "barber_agakov": {"weight": 0.1}, "mimrl": {"weight": 0.5}}
    objective = {"terms": terms, "strategy": {"name": "two_stage"}}
    values = {"data": {"name": "planted"}, "model": {"name": "mimrl"}, "objective": objective}
    known = "c589dd81a6eb0aefcbc0ec80898633dbc5bdd8d73d681bf493c4ab0fae88a397"
    assert digest(parse(RunConfig, values, "test")) == known
    changed = {**objective, "terms": {**terms, "cpc": {"weight": 0.1, "normalise": True}}}
    assert digest(parse(RunConfig, {**values, "objective": changed}, "test")) != known


def test_an_unknown_override_names_the_nearest(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"optim\.lrr(.|\n)*'lr'"):
        again(exported, tmp_path, overrides={"optim.lrr": 0.1})


@pytest.mark.slow
def test_retraining_needs_neither_search_library_nor_mlflow() -> None:
    code = (
        "import sys, mmsa.results.retrain, mmsa.results.exported, mmsa.results.publish\n"
        "print({'ray', 'optuna', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
