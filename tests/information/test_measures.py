import math

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression

from mmsa.errors import DataError
from mmsa.information.copula import gaussian_copula_information, gaussian_information, normal_scores
from mmsa.information.distributions import BENCHMARK_40
from mmsa.information.ksg import NEIGHBOURS, NeighbourLine, ksg_information


def correlated(information, dims, count, seed=0):
    """Pairs of features of one correlation, with this information in all."""
    rho = math.sqrt(1 - math.exp(-2 * information / dims))
    x, noise = np.random.default_rng(seed).standard_normal((2, count, dims))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def chain(count, seed=0):
    """X ~ N(0, 100), Y = X + N(0, 1), Z = Y + N(0, 25), two features each: I(X; Y | Z) = 2 x 1.5185."""
    x, first, second = np.random.default_rng(seed).standard_normal((3, count, 2))
    y = 10 * x + first
    return 10 * x, y, y + 5 * second


def test_bias_correction_removes_the_bias_of_many_features():
    """estimators.md's case: 50 and 50 features at 5,000 samples, raw 1.871 for a truth of 1.624."""
    dense = np.full((100, 100), 0.5) + 0.5 * np.eye(100)
    truth = np.linalg.slogdet(dense[:50, :50])[1] - 0.5 * np.linalg.slogdet(dense)[1]
    factor = np.linalg.cholesky(dense)
    samples = [np.random.default_rng(seed).standard_normal((5000, 100)) @ factor.T for seed in range(3)]
    estimates = [gaussian_information(both[:, :50], both[:, 50:]) for both in samples]
    assert truth == pytest.approx(1.624, abs=1e-3)
    assert np.mean(estimates) == pytest.approx(truth, abs=0.02)


def test_independent_features_have_no_information_on_average():
    estimates = [gaussian_copula_information(*correlated(0.0, 10, 200, seed)) for seed in range(30)]
    assert np.mean(estimates) == pytest.approx(0.0, abs=0.02)
    assert min(estimates) < 0


def test_canonical_correlations_agree_with_determinants():
    x, y = correlated(1.0, 3, 300)
    covariance = np.cov(np.hstack([x, y]).T)
    raw = 0.5 * (
        np.linalg.slogdet(covariance[:3, :3])[1]
        + np.linalg.slogdet(covariance[3:, 3:])[1]
        - np.linalg.slogdet(covariance)[1]
    )
    bias = 0.5 * (2 * digamma((300 - np.arange(1, 4)) / 2).sum() - digamma((300 - np.arange(1, 7)) / 2).sum())
    assert gaussian_information(x, y) == pytest.approx(raw - bias)


def test_constant_and_repeated_features_change_nothing():
    x, y = correlated(0.5, 1, 500)
    padded = np.hstack([x, x, np.ones((500, 1))])
    assert gaussian_copula_information(padded, y) == pytest.approx(gaussian_copula_information(x, y))
    assert gaussian_copula_information(np.ones((500, 2)), y) == 0.0


def test_normal_scores_ignore_monotone_maps_and_share_ties():
    values = np.array([[3.0], [1.0], [2.0], [2.0]])
    np.testing.assert_allclose(normal_scores(values), normal_scores(np.exp(values)))
    assert normal_scores(values)[2] == normal_scores(values)[3]


def test_copula_is_exact_under_monotone_maps_and_conditions():
    x, y = correlated(1.0, 3, 10_000)
    assert gaussian_copula_information(x**3, np.exp(y)) == pytest.approx(1.0, abs=0.04)
    x, y, z = chain(10_000)
    assert gaussian_copula_information(x, y, z) == pytest.approx(2 * 1.5185, abs=0.05)
    assert gaussian_copula_information(x, z, y) == pytest.approx(0.0, abs=0.01)


def test_ksg_leads_to_the_information_behind_sharp_edges():
    truth = BENCHMARK_40["1v1-additive-0.1"]
    samples = [[normal_scores(part) for part in truth.sample(600, seed)] for seed in range(4)]
    counted = np.mean([ksg_information(*sample) for sample in samples])
    led = np.mean([NeighbourLine.of(*sample).limit for sample in samples])
    assert counted < truth.information - 0.04
    assert abs(led - truth.information) < 0.5 * (truth.information - counted)


def test_the_line_through_many_reaches_deviates_less_than_the_nearest():
    """From what the same samples say when one knows that they are Gaussian."""
    samples = [[normal_scores(part) for part in correlated(0.5, 1, 300, seed)] for seed in range(30)]
    known = np.array([gaussian_information(*sample) for sample in samples])
    nearest = np.array([ksg_information(*sample) for sample in samples]) - known
    line = np.array([NeighbourLine.of(*sample).terms.mean() for sample in samples]) - known
    assert line.std() < 0.9 * nearest.std()
    assert abs(line.mean() - nearest.mean()) < 2 * nearest.std() / math.sqrt(30)


@pytest.mark.parametrize("rows", [4, 5, 6, 30])
def test_the_line_of_few_rows_goes_through_what_they_have(rows):
    x, y = correlated(0.5, 1, rows)
    line = NeighbourLine.of(x, y)
    assert line.terms.shape == (rows,)
    assert math.isfinite(line.limit)
    if rows < 6:
        assert line.terms.mean() == pytest.approx(ksg_information(x, y, k=NEIGHBOURS))


def test_ksg_finds_what_ranks_do_not_show():
    x = np.random.default_rng(0).uniform(-1, 1, (3000, 1))
    y = np.abs(x) + np.random.default_rng(1).uniform(-0.1, 0.1, (3000, 1))
    assert gaussian_copula_information(x, y) == pytest.approx(0.0, abs=0.01)
    assert ksg_information(x, y) == pytest.approx(0.1 - math.log(0.2), abs=0.08)


def test_ksg_with_a_condition():
    x, y, z = (part[:, :1] for part in chain(5000))
    assert ksg_information(x, y, z) == pytest.approx(1.5185, abs=0.08)
    assert ksg_information(x, z, y) == pytest.approx(0.0, abs=0.05)


def test_too_few_samples_are_refused():
    with pytest.raises(DataError, match="at least 8"):
        gaussian_information(np.random.default_rng(0).normal(size=(7, 3)), np.eye(7)[:, :3])
    with pytest.raises(DataError, match="3 samples have no 3 neighbours"):
        ksg_information(np.eye(3), np.eye(3))


def slow_ksg(x, y, z, k):
    """Kraskov's first estimator, and Frenzel and Pompe's, by loops over all pairs."""
    count = len(x)

    def distance(a, i, j):
        return max((abs(a[i][d] - a[j][d]) for d in range(a.shape[1])), default=0.0)

    total = 0.0
    for i in range(count):
        others = [j for j in range(count) if j != i]
        radius = sorted(max(distance(part, i, j) for part in (x, y, z)) for j in others)[k - 1]

        def inside(*parts, i=i, others=others, radius=radius):
            return sum(max(distance(part, i, j) for part in parts) < radius for j in others)

        in_z = digamma(inside(z) + 1) if z.shape[1] else digamma(count)
        total += digamma(k) + in_z - digamma(inside(x, z) + 1) - digamma(inside(y, z) + 1)
    return total / count


@pytest.mark.parametrize("z_dim", [0, 2])
def test_ksg_is_its_definition(z_dim):
    x, y, z = (np.random.default_rng(seed).normal(size=(40, d)) for seed, d in ((0, 2), (1, 1), (2, z_dim)))
    y = y + x[:, :1]
    fast = ksg_information(x, y, z if z_dim else None, k=3)
    assert fast == pytest.approx(slow_ksg(x, y, z, 3), abs=1e-6)


def test_ksg_agrees_with_sklearn_on_scalars():
    x, y = correlated(0.7, 1, 1500)
    expected = mutual_info_regression(x, y[:, 0], n_neighbors=3, random_state=0)[0]
    assert ksg_information(x, y) == pytest.approx(expected, abs=0.02)


def test_ksg_of_a_copy_is_near_its_ceiling():
    x = np.random.default_rng(0).normal(size=(200, 1))
    assert ksg_information(x, x) == pytest.approx(digamma(200) - digamma(3), abs=0.5)
    assert math.isfinite(ksg_information(np.zeros((50, 2)), np.zeros((50, 2))))
