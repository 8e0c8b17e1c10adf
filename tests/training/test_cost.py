from __future__ import annotations

import time

import pytest
from torch import nn

from mmsa.information.neighbours import FeatureBank
from mmsa.training import count_parameters, count_steps, run, time_step
from mmsa.training.trainer import Trainer


def test_counts_are_those_of_a_run(configure, corpus):
    config = configure()
    result = run(config, corpus)
    assert count_steps(config, corpus) == result.counters["steps"]
    trainer = Trainer(config, corpus)
    both = nn.ModuleList([trainer.model, trainer.objective])
    trained = sum(parameter.numel() for parameter in both.parameters() if parameter.requires_grad)
    assert count_parameters(config, corpus) == result.num_parameters == trained


def test_the_time_of_a_step_is_the_mean_over_passes_of_their_medians(configure, corpus, monkeypatch):
    """A clock that an estimator step moves by 1 s, a main step by 3 s, the first of each by 100 s more."""
    now, seen = [0.0], []
    original = Trainer._step

    def step(trainer, current, batch):
        original(trainer, current, batch)
        now[0] += {"estimator": 1.0, "main": 3.0}[current.loss] + (100.0 if current.loss not in seen else 0.0)
        seen.append(current.loss)

    monkeypatch.setattr(Trainer, "_step", step)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    # 3 of 6 batches in the estimator pass: (3 x 1 s + 6 x 3 s) / 9.
    config = configure({"objective.strategy.fraction": 0.5})
    assert time_step(config, corpus) == pytest.approx(21 / 9)
    assert seen.count("estimator") == 3
    assert seen.count("main") == 8  # half of them before everything else


def test_what_terms_do_with_the_epoch_before_is_timed(late_fusion, corpus, monkeypatch):
    banks = []
    original = FeatureBank.product_batches

    def product_batches(bank, *arguments):
        banks.append(len(bank))
        return original(bank, *arguments)

    monkeypatch.setattr(FeatureBank, "product_batches", product_batches)
    time_step(late_fusion({"objective.terms": {"mimrl": {}}, "objective.strategy.name": "two_stage"}), corpus)
    assert len(banks) == 4 + 4
    assert set(banks) == {4 * 15}


def test_it_is_near_the_time_of_a_run(late_fusion, corpus, monkeypatch):
    """By the clock of this process, which a busy machine does not move."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    config = late_fusion({"train.epochs": 10})
    seconds = time_step(config, corpus, steps=5)
    start = time.perf_counter()
    run(config, corpus)
    assert 0.02 < seconds * count_steps(config, corpus) / (time.perf_counter() - start) < 5.0
