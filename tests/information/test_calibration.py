import math

import numpy as np
import pytest
import torch

from mmsa.information.calibration import calibrated

RHO = 0.8
TRUTH = -0.5 * math.log(1 - RHO**2)


def log_ratios(count, seed, rho=RHO):
    """Exact log density ratios of pairs of normal variables of correlation ``rho``."""
    x, noise = torch.randn(2, count, generator=torch.Generator().manual_seed(seed)).double()
    y = rho * x + math.sqrt(1 - rho**2) * noise
    exponent = rho**2 * (x[:, None] ** 2 + y[None] ** 2) - 2 * rho * x[:, None] * y[None]
    return -0.5 * math.log(1 - rho**2) - 0.5 * exponent / (1 - rho**2)


@pytest.fixture(scope="module")
def blocks():
    return [log_ratios(400, seed) for seed in range(5)]


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (3.0, -2.0), (0.3, 5.0)])
def test_scores_on_any_scale_give_the_information(blocks, scale, shift):
    terms = calibrated([scale * block + shift for block in blocks], range(5))
    assert terms.mean() == pytest.approx(TRUTH, abs=0.06)
    exact = torch.cat([block.diagonal() for block in blocks]).numpy()
    assert np.corrcoef(terms, exact)[0, 1] > 0.95


def test_scores_that_say_nothing_give_no_information():
    noise = [torch.randn(300, 300, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    assert calibrated(noise, range(5)).mean() == pytest.approx(0.0, abs=0.02)
    assert calibrated([torch.zeros(50, 50)] * 3, range(3)) == pytest.approx(np.zeros(150), abs=1e-6)


def test_noisy_scores_give_less_than_the_information(blocks):
    generator = torch.Generator().manual_seed(9)
    noisy = [block + 2 * torch.randn(block.shape, generator=generator) for block in blocks]
    plain = torch.cat([block.diagonal() for block in noisy]).mean()
    assert plain == pytest.approx(TRUTH, abs=0.15)
    assert 0.05 < calibrated(noisy, range(5)).mean() < TRUTH - 0.1


def test_no_row_takes_part_in_its_own_calibration(blocks):
    folds = [0, 0, 1, 1, 2]
    before = calibrated(blocks, folds)
    changed = calibrated([blocks[0] + 50, *blocks[1:]], folds)
    assert np.array_equal(before[400:800], changed[400:800])
    assert not np.allclose(before[800:], changed[800:])


def test_a_score_beyond_all_others_stays_finite(blocks):
    wild = [blocks[0].clone(), *blocks[1:]]
    wild[0][0, 1] = wild[0][2, 2] = 1e6
    terms = calibrated(wild, range(5))
    assert np.isfinite(terms).all()
    assert terms.mean() == pytest.approx(TRUTH, abs=0.06)
