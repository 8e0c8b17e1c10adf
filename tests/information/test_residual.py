"""The parts of the estimator against slow, readable versions of themselves."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.cross_decomposition import CCA

from mmsa.information import bounds
from mmsa.information.copula import gaussian_information
from mmsa.information.copula_critics import (
    Copula,
    CopulaRatio,
    Radial,
    Side,
    Warped,
    canonical_weights,
    copula_terms,
)
from mmsa.information.distributions import BENCHMARK_40, correlated_gaussians, independent
from mmsa.information.residual import (
    _objective,
    _standard_errors,
    cross_fitted_ratios,
)


def pairs(count=400, dim=3):
    return correlated_gaussians(1.0, dim).sample(count)


def test_canonical_variates_agree_with_scikit_learn():
    x, y = pairs()
    x_weights, y_weights = canonical_weights(x, y)
    ours = [np.corrcoef(x @ x_weights[:, k], y @ y_weights[:, k])[0, 1] for k in range(3)]
    scores = CCA(3, max_iter=2000).fit(x, y).transform(x, y)
    theirs = [np.corrcoef(scores[0][:, k], scores[1][:, k])[0, 1] for k in range(3)]
    assert ours == pytest.approx(theirs, abs=1e-3)
    assert (x @ x_weights).std(0) == pytest.approx(np.ones(3))


def test_constant_and_repeated_features_have_no_canonical_pair():
    x, y = pairs(dim=1)
    x_weights, _ = canonical_weights(np.hstack([x, x, np.ones_like(x)]), np.hstack([y, 2 * y]))
    assert x_weights.shape == (3, 1)


def test_terms_are_those_of_the_fitted_normal_density():
    x, y = pairs(dim=2)
    together = np.hstack([x, y])
    joint, first, second = (
        stats.multivariate_normal(part.mean(0), np.cov(part.T, bias=True)).logpdf(part)
        for part in (together, x, y)
    )
    ratio = joint - first - second
    assert copula_terms(x, y) == pytest.approx(ratio - ratio.mean())


def test_terms_of_many_features_spread_as_their_information_does():
    draws = [independent(20, 20).sample(300, seed) for seed in range(40)]
    spread = np.std([gaussian_information(x, y) for x, y in draws])
    believed = np.mean([copula_terms(x, y).std() / np.sqrt(300) for x, y in draws])
    assert spread < believed < 1.7 * spread


def test_copula_critic_is_the_log_ratio_of_normal_densities():
    correlation = 0.6
    critic = Copula(CopulaRatio(np.eye(2)[:, :1], np.eye(2)[:, 1:], np.array([correlation])))
    x, y = torch.randn((2, 5, 2), generator=torch.Generator().manual_seed(0))
    joint = stats.multivariate_normal(cov=[[1, correlation], [correlation, 1]])
    expected = [
        [joint.logpdf([a, b]) - stats.norm.logpdf(a) - stats.norm.logpdf(b) for b in y[:, 1].tolist()]
        for a in x[:, 0].tolist()
    ]
    assert critic(x, y).tolist() == [pytest.approx(row, abs=1e-4) for row in expected]


@pytest.mark.parametrize("dims", [(1, 1), (3, 2), (8, 8)])
def test_warped_critic_starts_as_the_copula_and_can_leave_it(dims):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((100, dims[0]))
    y = generator.standard_normal((100, dims[1])) + x[:, :1]
    sides = Side.of(x), Side.of(y)
    ratio = CopulaRatio.fit(sides[0].scores, sides[1].scores, seed=0)
    critic = Warped(ratio, sides[0].inputs.shape[1], sides[1].inputs.shape[1])
    scores = critic(sides[0].inputs, sides[1].inputs)
    assert torch.allclose(scores, Copula(ratio)(sides[0].inputs, sides[1].inputs), atol=1e-5)
    bounds.jsd(scores).backward()
    for network in (critic.x_network, critic.y_network):
        assert network[-1].weight.grad[: critic.pairs].abs().sum() > 0


def test_correlations_of_noise_are_not_believed():
    x, y = independent(20, 20).sample(200)
    in_sample = canonical_weights(x, y)
    largest = np.corrcoef(x @ in_sample[0][:, 0], y @ in_sample[1][:, 0])[0, 1]
    assert largest > 0.5
    assert CopulaRatio.fit(x, y, seed=0).correlations.max(initial=0.0) < 0.3


def test_radial_critic_sees_only_norms():
    x, y = (torch.randn((6, 9), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    critic = Radial()
    assert torch.equal(critic(x, y), torch.zeros(6, 6))
    torch.nn.init.normal_(critic.y_tower[-1].weight)
    changed = torch.cat([x[:, :-2] + 1, x[:, -2:]], 1)
    assert torch.equal(critic(changed, y), critic(x, y))
    assert not torch.equal(critic(x + 1, y), critic(x, y))


def test_mean_of_the_objective_is_the_bound_without_its_constant():
    scores = torch.randn((30, 30), generator=torch.Generator().manual_seed(0))
    assert float(_objective([scores]).mean()) == pytest.approx(
        float(bounds.jsd(scores)) - np.log(2), abs=1e-6
    )


def test_standard_errors_count_groups_not_rows():
    gains = torch.tensor([0.5, 1.5, 0.2, 1.0])
    single = float(gains.mean() / (gains - gains.mean()).square().sum().sqrt() * 4)
    assert _standard_errors(gains, np.arange(4)) == pytest.approx(single)
    copies = gains.repeat_interleave(9)
    assert _standard_errors(copies, np.repeat(np.arange(4), 9)) == pytest.approx(single)


def test_ratios_come_back_in_the_order_of_the_rows():
    x, y = pairs(300)
    fold = np.arange(300) % 3
    ratios = cross_fitted_ratios(x, y, fold, np.arange(300), num_seeds=1, seed=0)
    rows = np.flatnonzero(fold == 1)
    sides = Side.of(x), Side.of(y)
    surprise = -((sides[0].scores - sides[1].scores) ** 2).sum(1)
    assert stats.spearmanr(ratios.copula[rows], surprise[rows]).statistic > 0.5
    assert ratios.parts == ()
    assert np.array_equal(ratios.copula, ratios.total)
    assert 0.5 < ratios.copula.mean() < 1.1


@pytest.mark.slow  # small cases: the ratios above keep no part, the interval in test_measure.py a radial one
def test_parts_are_kept_only_where_they_help():
    kept = {}
    for name in ("student-identity-2-2-1", "multinormal-dense-3-3-0.5"):
        x, y = BENCHMARK_40[name].sample(600)
        fold, group = np.arange(600) % 5, np.arange(600)
        kept[name] = cross_fitted_ratios(x, y, fold, group, num_seeds=1, seed=0)
    student, normal = kept.values()
    assert "radial" in student.parts
    assert student.gain == pytest.approx(0.43, abs=0.15)
    assert normal.parts == ()
    assert normal.gain == 0.0
