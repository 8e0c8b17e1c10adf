"""The best configurations of a study over fresh seeds: what is trained, kept, decided, and opened once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launched import launched

import mmsa.results.race
import mmsa.results.sealed
import mmsa.results.seeds
from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.data.ledger import LEDGER, Ledger
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import ConfigError, StudyError, TrainingDiverged
from mmsa.experiment import RunConfig
from mmsa.reports.study_report import study_report
from mmsa.results.compare import compare
from mmsa.results.compared import Comparison, EarlierComparison
from mmsa.results.seeds import train_seed
from mmsa.search.study.view import StudyView
from mmsa.tracking.compared import ROLE, log_comparison
from mmsa.tracking.location import Location
from mmsa.tracking.notes import NOTE
from mmsa.training.metrics import evaluate


def compared(study: StudyView, runs: Path, **changes: Any) -> tuple[Comparison, list[str]]:
    said: list[str] = []
    arguments: dict[str, Any] = {"top": 3, "num_seeds": 5, "overrides": {"train.epochs": 2}, "runs": runs}
    return compare(study, **{**arguments, **changes}, say=said.append), said


def stop_at(number: int, error: BaseException) -> Callable[..., Any]:
    """A training of which the one with this number, counted from 1, ends with an error."""
    count = 0

    def train(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            raise error
        return train_seed(*arguments)

    return train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, searched: Path) -> tuple[Comparison, Path]:
    """A comparison that was stopped in its fourth training, and then finished by the same call."""
    from mmsa.search.study.view import read_study

    runs = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as stopping:
        stopping.setattr(mmsa.results.seeds, "train_seed", stop_at(4, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            compared(read_study("small", searched), runs)
    assert not (runs / LEDGER).exists()
    comparison, said = compared(read_study("small", searched), runs)
    assert sum("is kept from before" in line for line in said) == 3
    return comparison, runs


def test_all_have_the_same_fresh_seeds_and_their_own_metrics(
    finished: tuple[Comparison, Path], study: StudyView
) -> None:
    comparison, runs = finished
    assert [config.name for config in comparison.configs] == ["trial 1", "defaults"]
    assert {tuple(config.seeds) for config in comparison.configs} == {tuple(comparison.seeds)}
    assert len(set(comparison.seeds) - {0}) == 5
    valid = open_corpus(study.config.base.data)["valid"]
    for config in comparison.configs:
        folder = runs / "compared" / "small" / config.config_digest[:12]
        for position, seed in enumerate(config.seeds):
            metrics = evaluate(
                valid.labels,
                np.load(folder / f"seed-{seed}" / "valid.npy"),
                TargetSpec("label", suite="mosi"),
            )
            for name, values in config.by_seed.items():
                assert values[position] == pytest.approx(metrics[name])
        assert config.means["mae"].value == pytest.approx(np.mean(config.by_seed["mae"]))
        trial = study.trials()[config.trial or 0]
        assert comparison.overtuning(config) == pytest.approx(config.means["mae"].value - trial.values[0])


def test_test_is_opened_once_for_all_and_its_predictions_are_kept(finished: tuple[Comparison, Path]) -> None:
    comparison, runs = finished
    (opening,) = Ledger(runs / LEDGER).openings()
    opened = comparison.test
    assert opened is not None
    assert (opening.id, opening.study) == (opened.opening, "small")
    assert opening.spoken == f"trial {opening.trial}, train.epochs=2, and 1 beside it"
    configs = {config.name: config for config in comparison.configs}
    assert opening.config_digests == {config.config_digest for config in configs.values()}
    assert opening.config_digest == configs[comparison.verdict.take].config_digest
    labels = open_corpus(parse(RunConfig, dict(opening.config), "ledger").data, ("test",))["test"].labels
    with np.load(runs / "compared" / "small" / "test.npz") as predictions:
        for name in configs:
            maes = [float(np.abs(labels - seed_N).mean()) for seed_N in predictions[name]]
            assert opened.by_seed[name]["mae"] == pytest.approx(maes)
    (beside,) = opening.beside
    assert [metrics["mae"] for metrics in beside.metrics] == opened.by_seed[
        next(name for name in configs if name != comparison.verdict.take)
    ]["mae"]
    everything = [value for values in opened.by_seed.values() for value in values["mae"]]
    name, seed = opened.best_single
    assert opened.by_seed[name]["mae"][list(configs[name].seeds).index(seed)] == min(everything)


def test_the_same_call_again_trains_nothing_and_opens_nothing(
    finished: tuple[Comparison, Path], study: StudyView, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, runs = finished
    monkeypatch.setattr(mmsa.results.seeds, "train_seed", stop_at(1, AssertionError("trained again")))
    monkeypatch.setattr(mmsa.results.sealed, "open_corpus", lambda *arguments: pytest.fail("test was opened"))
    for open_sealed in (False, True):
        again, said = compared(study, runs, open_sealed=open_sealed)
        assert json.dumps(again.to_dict()) == json.dumps(comparison.to_dict())
        assert any("it is not opened again" in line for line in said)
    assert len(Ledger(runs / LEDGER).openings()) == 1


def test_the_page_begins_with_the_verdict_and_says_how_sure_it_is(finished: tuple[Comparison, Path]) -> None:
    comparison, runs = finished
    page = (runs / "compared" / "small" / "compare.md").read_text(encoding="utf-8")
    assert page == comparison.markdown()
    assert comparison.verdict.text() in page[:200]
    for told in ("resolve a difference of", "Overtuning: ", "What choosing on test would have claimed: mae "):
        assert told in page
    assert "| best constant" in page
    assert "test was opened for the first time for study small" in page
    stored = json.loads((runs / "compared" / "small" / "compare.json").read_text(encoding="utf-8"))
    assert stored["verdict"]["take"] == comparison.verdict.take


def test_its_verdict_can_be_read_again(finished: tuple[Comparison, Path], tmp_path: Path) -> None:
    comparison, runs = finished
    earlier = EarlierComparison.of(runs, comparison.study)
    assert earlier is not None
    assert (earlier.text, earlier.num_seeds) == (comparison.verdict.text(), len(comparison.seeds))
    assert earlier.trials == [config.trial for config in comparison.configs]
    assert EarlierComparison.of(tmp_path, comparison.study) is None


def test_mlflow_has_one_run_of_it_with_the_page_as_its_note(
    finished: tuple[Comparison, Path], store: Path, tmp_path: Path
) -> None:
    comparison, _ = finished
    assert comparison.test is not None
    shutil.copy(store, tmp_path)
    location, card = Location.of(tmp_path), comparison.card("planted")
    pages = {log_comparison(location, card) for _ in range(2)}
    assert len(pages) == 1
    client = location.connect()
    (run,) = client.search_runs([client.get_experiment_by_name("planted").experiment_id])
    assert run.info.run_id in pages.pop()
    assert run.data.tags[NOTE][:200] == card.page[:200]
    assert (run.data.tags["mmsa.role"], run.data.tags["mmsa.take"]) == (ROLE, comparison.verdict.take)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/mae"] == comparison.test.means[comparison.verdict.take]["mae"].value
    assert len(run.data.metrics) <= 20


def test_the_verdict_is_written_before_test_is_opened(
    study: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        stored = json.loads((tmp_path / "compared" / "small" / "compare.json").read_text(encoding="utf-8"))
        assert stored["test"] is None
        assert stored["verdict"]["take"] in ("trial 1", "defaults")
        raise InterruptedError

    monkeypatch.setattr(mmsa.results.sealed, "open_corpus", refuse)
    with pytest.raises(InterruptedError):
        compared(study, tmp_path, overrides={"train.epochs": 1})
    assert len(Ledger(tmp_path / LEDGER).openings()) == 1


def test_a_configuration_that_diverges_with_a_fresh_seed_cannot_win(
    study: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        mmsa.results.seeds, "train_seed", stop_at(2, TrainingDiverged(3, "task", float("inf")))
    )
    with pytest.raises(StudyError, match=r"nothing to compare.*defaults: task became inf at step 3"):
        compared(study, tmp_path, overrides={"train.epochs": 1}, open_sealed=False)
    assert not (tmp_path / LEDGER).exists()


def test_the_command_goes_on_from_what_is_kept_and_names_the_next_one(
    finished: tuple[Comparison, Path],
    searched: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    comparison, runs = finished
    shutil.copytree(searched, tmp_path / "runs")
    shutil.copytree(runs / "compared", tmp_path / "runs" / "compared")
    monkeypatch.setattr(mmsa.results.seeds, "train_seed", stop_at(1, AssertionError("trained again")))
    common = ["--study", "small", "--runs", str(tmp_path / "runs"), "--set", "train.epochs=2", "--no-mlflow"]
    assert launched(monkeypatch, "compare.py", *common, "--valid-only") == 0
    told = capsys.readouterr().out
    assert f"# small: {comparison.verdict.text()}" in told
    taken = next(config for config in comparison.configs if config.name == comparison.verdict.take)
    assert f"--trial {taken.trial} --out small-best.yaml" in told
    assert launched(monkeypatch, "compare.py", *common, "--seeds", "4") == 2
    assert "--seeds: 4" in capsys.readouterr().err


def test_who_leaves_the_race_is_compared_with_the_seeds_it_has(
    study: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmsa.results.race, "out_of_the_race", lambda *arguments, **named: ["trial 1"])
    comparison, said = compared(study, tmp_path, overrides={"train.epochs": 1}, open_sealed=False)
    assert [len(config.seeds) for config in comparison.configs] == [3, 5]
    assert "trial 1 leaves the race: its whole 99 % interval lies behind the best" in said
    assert set(comparison.verdict.rivals) | {comparison.verdict.best} == {"trial 1", "defaults"}
    assert "| 3, left the race |" in comparison.markdown()
    assert "Test is closed" in comparison.markdown()


def test_few_seeds_are_refused_before_anything_is_read(study: StudyView, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fewer than the 5"):
        compared(study, tmp_path, num_seeds=4)


@pytest.mark.slow
def test_every_target_that_is_trained_for_is_told(
    searched_for_two: Callable[[str], tuple[StudyView, Path]],
) -> None:
    """By the report of its study, on valid and on test; the ledger has them too."""
    study, runs = searched_for_two("valid/mae")
    page = study_report(study, runs).markdown()
    assert re.search(r"\| first target +\|.* mae [\s\S]*\| mood +\| accuracy 0\.", page)
    comparison, _ = compared(study, runs, overrides={}, top=1)
    assert comparison.test is not None
    told = comparison.markdown()
    assert told.count("| mood/accuracy ") == 2
    on_test = comparison.test.further[comparison.verdict.take]["mood/accuracy"]
    assert len(on_test) == 5
    (opening,) = Ledger(runs / LEDGER).openings()
    assert [metrics["mood/accuracy"] for metrics in opening.metrics] == on_test
    again, _ = compared(study, runs, overrides={}, top=1)
    assert again.markdown() == told


def test_a_study_that_chooses_by_another_target_is_refused_before_training(
    searched_for_two: Callable[[str], tuple[StudyView, Path]],
) -> None:
    study, runs = searched_for_two("valid/mood/f1_macro")
    with pytest.raises(StudyError, match=r"chooses by valid/mood/f1_macro.*the first target, score"):
        compared(study, runs, overrides={})
