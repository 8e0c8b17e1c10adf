from __future__ import annotations

from mmsa.objectives.strategies import Joint, TwoStage
from mmsa.training.plan import lay_out, num_steps


def test_two_stage_lays_out_estimator_passes_of_a_fraction_and_numbers_all_passes():
    strategy = TwoStage(TwoStage.Config(repeats=2, fraction=0.3))
    plan = lay_out(strategy, num_epochs=3, num_batches=7, has_estimators=True)
    assert [part.loss for part in plan[0]] == ["estimator", "estimator", "main"]
    assert [part.num_batches for part in plan[0]] == [3, 3, 7]
    assert [part.order for epoch in plan for part in epoch] == list(range(9))
    assert num_steps(plan) == 3 * 13


def test_a_small_fraction_still_visits_a_batch():
    plan = lay_out(TwoStage(TwoStage.Config(fraction=0.01)), 1, 5, has_estimators=True)
    assert plan[0][0].num_batches == 1


def test_without_estimators_two_stage_is_one_pass_an_epoch():
    plan = lay_out(TwoStage(TwoStage.Config()), 2, 5, has_estimators=False)
    assert [[part.loss for part in epoch] for epoch in plan] == [["main"], ["main"]]
    assert [part.order for (part,) in plan] == [0, 1]


def test_joint_is_one_pass_with_or_without_estimators():
    for has_estimators in (True, False):
        plan = lay_out(Joint(Joint.Config()), 2, 5, has_estimators)
        assert [part.loss for epoch in plan for part in epoch] == ["joint", "joint"]
