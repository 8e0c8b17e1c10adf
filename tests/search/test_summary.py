"""The summary of a launch: the best against the defaults, and commands to paste."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmsa.information.copula_panel import CopulaPanel
from mmsa.interface import decimals, signed
from mmsa.measurement import not_measured
from mmsa.search.summary import BestTrial, SearchSummary
from mmsa.training.constants import Constant

DONE = SearchSummary(
    study="tried",
    runs=Path("runs"),
    storage=None,
    counts=Counter(completed=3, pruned=1),
    num_trials=4,
    launched=Counter(completed=2),
    seconds=61.4,
    metric="valid/mae",
    best=BestTrial(3, 0.41234, {"optim.lr": 0.00123456, "train.batch_size": 32}),
    default=0.5,
)


def test_a_finished_study_shows_the_best_against_the_defaults_and_what_is_next():
    assert DONE.text("mlflow ui --backend-store-uri sqlite:///x").splitlines() == [
        "study tried: 4 of 4 trials ended (3 completed, 1 pruned); 2 of them in this launch, in 0:01:01",
        "best:     trial 3, valid/mae 0.4123",
        "          optim.lr: 0.001235",
        "          train.batch_size: 32",
        "defaults: trial 0, valid/mae 0.5000",
        "next:",
        "  python launch/report.py --study tried  # how sure the choice is",
        "  python launch/export.py --study tried --out tried-best.yaml",
        "  python launch/retrain.py --config tried-best.yaml --seeds 3  # opens test",
        "  mlflow ui --backend-store-uri sqlite:///x",
    ]
    assert DONE.successful


def test_without_a_test_split_a_retraining_is_not_proposed():
    text = replace(DONE, has_test=False).text()
    assert "retrain.py" not in text
    assert "python launch/compare.py --study tried --valid-only" in text


@pytest.mark.parametrize(
    ("value", "shown", "with_sign"),
    [
        (0.41234, "0.4123", "+0.4123"),
        (0.0, "0.0000", "+0.0000"),
        (1e-7, "1e-07", "+1e-07"),
        (-0.000456, "-0.00046", "-0.00046"),
        (0.001, "0.0010", "+0.0010"),
        (-0.0, "0.0000", "+0.0000"),
        (-1.5e20, "-1.5e+20", "-1.5e+20"),
        (1234567.0, "1.23457e+06", "+1.23457e+06"),
    ],
)
def test_a_metric_keeps_the_digits_that_say_something(value, shown, with_sign):
    assert (decimals(value), signed(value)) == (shown, with_sign)
    best = replace(DONE, best=replace(DONE.best, value=value)).text()
    assert f"best:     trial 3, valid/mae {shown}\n" in best


def test_what_is_to_be_known_of_the_data_stands_beside_the_values():
    lines = replace(DONE, notes=("valid: one class holds nearly all labels",)).text().splitlines()
    assert lines[lines.index("defaults: trial 0, valid/mae 0.5000") + 1] == (
        "note:     valid: one class holds nearly all labels"
    )


def test_the_two_most_wanted_informations_of_the_best_are_shown():
    x, y = np.random.default_rng(0).standard_normal((2, 100))
    panel = CopulaPanel({"x": x, "twin": x + 0.5 * y, "y": y})
    twin, nothing = panel.measure("x", "twin"), panel.measure("x", "y")
    best = BestTrial(3, 0.4, {}, information={"a": nothing, "b": twin, "c": twin, "d": twin})
    shown = f"{twin.value:.2f} [{twin.low:.2f}, {twin.high:.2f}]"
    line = f"          information in nats: b {shown}, c {shown}; 1 more without a finding\n"
    assert line in replace(DONE, best=best).text()


def test_what_could_not_be_measured_of_the_best_is_said_with_the_reason():
    few = not_measured("too_few", num_samples=27, num_groups=27, dims=(1, 1))
    text = replace(DONE, best=BestTrial(3, 0.4, {}, information={"a": few})).text()
    assert "          information in nats: a too few rows (27)\n" in text


def test_the_most_wanted_information_is_named_where_there_was_no_time_for_it():
    x, y = np.random.default_rng(0).standard_normal((2, 100))
    known = CopulaPanel({"x": x, "y": x + y}).measure("x", "y")
    skipped = not_measured("skipped", num_samples=100, num_groups=100, dims=(1, 1))
    panel = {"target/fusion": skipped, "fusion/audio": known, "target/audio": skipped}
    (line,) = BestTrial(3, 0.4, {}, information=panel).measured()
    assert "target/fusion skipped; 1 more without a finding; skipped: takes longer than" in line
    assert "fusion/audio" in line


def test_commands_name_the_runs_and_the_storage_that_were_used():
    text = replace(DONE, runs=Path("/data/my runs"), storage="postgresql://me:***@db/studies").text()
    assert "export.py --study tried --runs '/data/my runs' --storage 'postgresql://me:***@db/studies'" in text
    assert "retrain.py --config tried-best.yaml --runs '/data/my runs' --seeds 3" in text


def test_an_unfinished_study_says_how_to_go_on():
    unfinished = replace(DONE, num_trials=8, interrupted=True)
    assert unfinished.text().splitlines()[-1] == "to continue, run the same command again"
    assert not unfinished.successful


def test_defaults_without_a_result_are_said_to_have_none():
    assert "defaults: trial 0, without a result" in replace(DONE, default=None).text()


@pytest.mark.parametrize(
    "change",
    [
        {"best": None},
        {"launched": Counter(completed=1, failed=1)},
        {"num_trials": 8, "gave_up": "5 trials in a row failed; the last: boom"},
    ],
    ids=["nothing completed", "half of them failed", "gave up"],
)
def test_what_is_no_success(change):
    assert not replace(DONE, **change).successful


def test_a_launch_with_nothing_left_to_do_is_a_success():
    assert replace(DONE, launched=Counter()).successful


def test_why_a_search_gave_up_is_said():
    text = replace(DONE, num_trials=8, gave_up="5 trials in a row failed; the last: boom").text()
    assert text.splitlines()[-1] == "stopped: 5 trials in a row failed; the last: boom"


def test_a_constant_stands_beside_the_best_and_is_told_where_it_is_as_good():
    constant = Constant("median", 0.42)
    lines = replace(DONE, constant=constant).text().splitlines()
    assert lines[5] == "constant: valid/mae 0.4200 (the median of train)"
    assert "the best trial is" not in lines[6]
    unsure = replace(DONE, constant=constant, best=replace(DONE.best, standard_error=0.01))
    assert "the best trial is not surely better than 0.4200" in unsure.text()
    beaten = replace(DONE, constant=Constant("median", 0.41))
    assert "the best trial is no better than 0.4100" in beaten.text()


def test_a_best_trial_that_knows_no_more_than_a_constant_by_another_metric_is_told():
    """As the median for everybody, which is good by its mean absolute error and finds no positive."""
    best = replace(DONE.best, metrics={"valid/f1_positive": 0.0, "valid/ccc": 0.2, "valid/rmse": 5.0})
    known = {"f1_positive": Constant("positive", 0.31), "ccc": Constant("median", 0.0)}
    known |= {"rmse": Constant("mean", 4.9)}
    text = replace(DONE, constant=Constant("median", 0.42), constants=known, best=best).text()
    assert (
        "it is no better than a constant by f1_positive 0.0000 (positive of train 0.3100), "
        "rmse 5.0000 (mean of train 4.9000)\n" in text
    )
