"""Ranks are those of SciPy, whose import workers are spared."""

import numpy as np
import pytest
from scipy.stats import rankdata

from mmsa.information.copula import average_ranks

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
