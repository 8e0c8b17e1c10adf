"""Information of a run: there when it is finished, and without a trace in the run itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsa.data import Corpus, open_corpus
from mmsa.errors import ConfigError
from mmsa.experiment import RunConfig
from mmsa.information.measure_panel import measure_panel
from mmsa.information.panel import CORE, metrics, names
from mmsa.measurement import Measurement
from mmsa.seeding import random_state
from mmsa.training import epochs, run
from mmsa.training.loop import measure_best
from mmsa.training.predictor import represent
from mmsa.training.trainer import Trainer

Configure = Callable[..., RunConfig]
ENOUGH = {"data.rows_valid": 120, "information.budget": None, "train.batch_size": 30}


def config_and_corpus(
    configure: Configure, changes: dict[str, Any] | None = None
) -> tuple[RunConfig, Corpus]:
    config = configure({**ENOUGH, **(changes or {})})
    return config, open_corpus(config.data)


def without_information(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("information/")}


def test_a_finished_run_is_measured(configure: Configure, tmp_path: Path):
    config, corpus = config_and_corpus(configure)
    progress = list(epochs(config, corpus))
    assert [bool(part.information) for part in progress] == [False, False, True]
    found = progress[-1].information
    assert list(found) == names(CORE, ("text", "audio", "vision"))
    assert found["target/fusion"].status == "ok"
    assert progress[-1].best == progress[-1].history[progress[-1].best_epoch - 1] | metrics(found)

    result = run(config, corpus)
    assert result.information == found
    assert result.metrics == progress[-1].best
    result.save(tmp_path)
    stored = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))["information"]
    assert {name: Measurement.from_dict(record) for name, record in stored.items()} == found


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_sums_of_mimrl_are_measured_where_the_objective_has_its_term(configure: Configure, weight: float):
    """Also in its ablation, which is compared by them; nothing is measured where nothing is asked for."""
    term = {"objective.terms.mimrl.weight": weight, "objective.strategy": {"name": "two_stage"}}
    config, corpus = config_and_corpus(configure, {**term, "train.epochs": 1})
    assert config.information.quantities == CORE
    assert list(run(config, corpus).information) == names([*CORE, "mimrl"], ("text", "audio", "vision"))
    assert configure({**term, "information.quantities": []}).measured == ()
    assert configure({**term, "information.quantities": ["mimrl", "target"]}).measured == ("mimrl", "target")


def test_measuring_leaves_no_trace_in_the_run(configure: Configure):
    measured, corpus = config_and_corpus(configure, {"information.epochs": [1, 2], "train.average": 0.5})
    plain = configure({**ENOUGH, "information.quantities": [], "train.average": 0.5})
    first, second = run(measured, corpus), run(plain, corpus)
    assert second.information == {}
    assert [without_information(epoch) for epoch in first.history] == second.history
    weights = zip(
        first.predictor.model.state_dict().values(),
        second.predictor.model.state_dict().values(),
        strict=True,
    )
    assert all(torch.equal(one, other) for one, other in weights)


def test_measuring_takes_nothing_from_generators_and_puts_weights_back(configure: Configure):
    config, corpus = config_and_corpus(configure)
    trainer = Trainer(config, corpus)
    while not trainer.finished:
        trainer.train_epoch()
    trainer.selection.weights = {name: value + 1 for name, value in trainer.selection.weights.items()}
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    state = random_state()["torch"]
    numpy_state = np.random.get_state()[1].copy()
    assert measure_best(trainer)
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())
    assert torch.equal(random_state()["torch"], state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_chosen_epochs_are_measured_with_their_own_weights(configure: Configure):
    config, corpus = config_and_corpus(configure, {"information.epochs": [2]})
    history = run(config, corpus).history
    assert ["information/target/fusion" in epoch for epoch in history] == [False, True, False]
    trainer = Trainer(config, corpus)
    trainer.train_epoch()
    trainer.train_epoch()
    valid = trainer.corpus["valid"]
    vectors = represent(trainer.model, valid, 256, trainer.runtime.device)
    found = metrics(measure_panel(vectors, valid.labels, valid.groups, CORE))
    assert found == {name: value for name, value in history[1].items() if name.startswith("information/")}


def test_a_resumed_run_measures_what_the_whole_run_measures(configure: Configure, tmp_path: Path):
    config, corpus = config_and_corpus(configure, {"information.epochs": [1]})
    *_, whole = epochs(config, corpus)
    for stopped_after in (1, 3):
        checkpoint = tmp_path / str(stopped_after)
        for progress in islice(epochs(config, corpus), stopped_after):
            progress.save(checkpoint)
        *_, resumed = epochs(config, corpus, resume=checkpoint)
        assert resumed.information == whole.information
        assert resumed.history == whole.history


def test_without_time_everything_is_skipped_and_says_so(configure: Configure):
    config, corpus = config_and_corpus(configure, {"information.budget": 0.0, "information.epochs": [1]})
    result = run(config, corpus)
    assert {measured.status for measured in result.information.values()} == {"skipped"}
    assert not any(name.startswith("information/") for epoch in result.history for name in epoch)


def test_an_unknown_kind_of_information_is_refused_with_the_nearest(configure: Configure):
    with pytest.raises(ConfigError, match=r"information\.quantities\.1.*invariants") as error:
        configure({"information.quantities": ["target", "invariants"]})
    assert "'invariant'" in str(error.value)


def test_an_epoch_that_never_comes_is_refused(configure: Configure):
    with pytest.raises(ConfigError, match=r"information\.epochs"):
        configure({"information.epochs": [4]})
