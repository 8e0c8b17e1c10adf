"""What is computed here as in SciPy and scikit-learn, so that no worker imports these for it."""

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.model_selection import GroupKFold

from mmsa.information.copula import average_ranks
from mmsa.information.groups import group_folds

_RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "values",
    [
        _RANDOM.standard_normal((30, 3)),
        _RANDOM.integers(0, 4, (30, 3)).astype(np.float64),
        np.where(_RANDOM.random((30, 3)) < 0.02, np.nan, _RANDOM.standard_normal((30, 3))),
        np.array([[0.0, -0.0, np.inf], [-0.0, 0.0, np.inf]]),
        np.zeros((1, 2)),
        np.zeros((0, 2)),
        np.zeros((3, 0)),
    ],
    ids=["all differ", "ties", "some NaN", "signed zeros", "one row", "no rows", "no columns"],
)
def test_ranks_are_those_of_scipy(values):
    np.testing.assert_array_equal(average_ranks(values), rankdata(values, axis=0))


@pytest.mark.parametrize(("num_groups", "num_folds"), [(40, 5), (7, 3), (3, 3)])
def test_folds_are_those_of_scikit_learn(num_groups, num_folds):
    group_N = _RANDOM.permutation(np.arange(60) % num_groups)
    splitter = GroupKFold(num_folds, shuffle=True, random_state=7)
    for fold, (_, rows) in enumerate(splitter.split(group_N, groups=group_N)):
        np.testing.assert_array_equal(np.flatnonzero(group_folds(group_N, num_folds, seed=7) == fold), rows)
