import pytest
import torch

from mmsa.information.critics import CRITICS, JointCritic, MLPConfig, SeparableCritic, mlp

X, Y = torch.randn(5, 3), torch.randn(4, 2)


def build(name):
    torch.manual_seed(0)
    return CRITICS[name](CRITICS[name].Config(), 3, 2)


@pytest.mark.parametrize("name", CRITICS)
def test_each_pair_is_scored_by_itself(name):
    """No batch statistics: a critic that mixes samples leaks the pairing."""
    critic = build(name)
    scores = critic(X, Y)
    assert scores.shape == (5, 4)
    for i, j in ((0, 0), (4, 1), (2, 3)):
        torch.testing.assert_close(critic(X[[i]], Y[[j]])[0, 0], scores[i, j])


def test_joint_scores_the_concatenated_pair():
    critic = build("joint")
    first = torch.nn.functional.linear(
        torch.cat([X[0], Y[1]]),
        torch.cat([critic.x_part.weight, critic.y_part.weight], 1),
        critic.y_part.bias,
    )
    torch.testing.assert_close(critic(X, Y)[0, 1], critic.network(first)[0])


def test_cosine_stays_in_its_range():
    critic = build("cosine")
    scores = critic(1000 * X, Y)
    assert scores.max() - scores.min() <= critic.score_range
    assert torch.isfinite(critic(torch.zeros(1, 3), Y)).all()


def test_layer_norm_comes_after_each_hidden_layer():
    network = mlp(MLPConfig(hidden=8, layers=3, norm="layer"), 4, 2)
    kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["Linear", "LayerNorm", "ReLU"] * 3 + ["Linear"]
    assert network(torch.randn(2, 4)).shape == (2, 2)


def test_cost_of_a_separable_critic_is_linear_in_the_batch():
    calls = []
    separable, joint = (
        SeparableCritic(SeparableCritic.Config(), 3, 2),
        JointCritic(JointCritic.Config(), 3, 2),
    )
    separable.x_tower.register_forward_hook(
        lambda module, inputs, output: calls.append(output.shape[:-1].numel())
    )
    joint.network.register_forward_hook(
        lambda module, inputs, output: calls.append(output.shape[:-1].numel())
    )
    separable(X, Y)
    joint(X, Y)
    assert calls == [5, 20]
