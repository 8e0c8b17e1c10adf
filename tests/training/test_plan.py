from __future__ import annotations

from mmsa.objectives.strategies import AlternatingStrategy, JointStrategy, Strategy, TwoStageStrategy
from mmsa.training.plan import Plan, lay_out, num_steps

GROUPS = ("main", "estimator")


def plan_of(
    strategy: Strategy, num_epochs: int = 2, num_batches: int = 5, groups: tuple[str, ...] = GROUPS
) -> Plan:
    return lay_out(strategy, num_epochs, num_batches, groups, ("text", "audio"))


def test_two_stage_lays_out_estimator_passes_of_a_fraction_and_numbers_all_passes():
    plan = plan_of(
        TwoStageStrategy(TwoStageStrategy.Config(repeats=2, fraction=0.3)), num_epochs=3, num_batches=7
    )
    assert [part.loss for part in plan[0]] == ["estimator", "estimator", "main"]
    assert [part.num_batches for part in plan[0]] == [3, 3, 7]
    assert [part.order for epoch in plan for part in epoch] == list(range(9))
    assert num_steps(plan) == 3 * 13


def test_a_small_fraction_still_visits_a_batch():
    assert plan_of(TwoStageStrategy(TwoStageStrategy.Config(fraction=0.01)))[0][0].num_batches == 1


def test_without_estimators_two_stage_is_one_pass_an_epoch():
    plan = plan_of(TwoStageStrategy(TwoStageStrategy.Config()), groups=("main",))
    assert [[part.loss for part in epoch] for epoch in plan] == [["main"], ["main"]]
    assert [part.order for (part,) in plan] == [0, 1]


def test_joint_is_one_pass_with_or_without_estimators():
    for groups in (GROUPS, ("main",)):
        plan = plan_of(JointStrategy(JointStrategy.Config()), groups=groups)
        assert [part.loss for epoch in plan for part in epoch] == ["joint", "joint"]


def test_alternating_visits_each_batch_with_each_modality_and_then_fits_the_mixture():
    first, second = plan_of(
        AlternatingStrategy(AlternatingStrategy.Config(mixture=0.5)), groups=("main", "mixture")
    )[0]
    assert (first.alone, first.num_batches) == (("text", "audio"), 10)
    assert (second.alone, second.num_batches, second.groups) == ((), 3, ("mixture",))


def test_without_weights_of_modalities_nothing_is_fitted_to_them():
    assert [
        len(epoch) for epoch in plan_of(AlternatingStrategy(AlternatingStrategy.Config()), groups=("main",))
    ] == [1, 1]
