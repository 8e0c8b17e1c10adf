"""What networks miss or blur is seen by the other critics, on rows they did not learn from."""

import numpy as np
import pytest

from mmsa.information.additive_noise import additive_noise_ratios
from mmsa.information.copula import gaussian_copula_information
from mmsa.information.distributions import Truth, independent
from mmsa.information.distributions.families import family_truth, normal_mixture, random_sign
from mmsa.information.stacking import HeldOut, other_ratios

pytestmark = pytest.mark.long

PRODUCTS = 8


def held_out(count, folds=3):
    """Pairs of each fold, of which networks say nothing."""
    rows = np.array_split(np.random.default_rng(0).permutation(count), folds)
    return [
        HeldOut(
            np.tile(fold, PRODUCTS + 1),
            np.concatenate([np.roll(fold, -shift) for shift in range(PRODUCTS + 1)]),
            np.zeros((PRODUCTS + 1) * len(fold)),
            len(fold),
        )
        for fold in rows
    ]


def log_ratios(truth, count, folds=3):
    """Log ratios of the joint pairs under each critic."""
    parts_held = held_out(count, folds)
    ratios = other_ratios(*truth.sample(count, 1), parts_held, 0)
    return {
        name: np.concatenate([part[: fold.joint] for part, fold in zip(parts, parts_held, strict=True)])
        for name, parts in ratios.items()
    }


def readings(truth, count, folds=3):
    """Mean log ratio of the joint pairs under each critic."""
    return {name: ratios_N.mean() for name, ratios_N in log_ratios(truth, count, folds).items()}


def sharp(dim, half_width):
    def draw(n, rng):
        x_ND = rng.uniform(size=(n, dim))
        return x_ND, x_ND + rng.uniform(-half_width, half_width, (n, dim))

    return Truth("sharp", dim * (half_width - np.log(2 * half_width)), draw)


def clusters(dim):
    means = 1.2 * np.random.default_rng(3).standard_normal((6, 2 * dim))
    return normal_mixture("clusters", np.full(6, 1 / 6), means, np.stack([np.eye(2 * dim)] * 6), dim)


@pytest.mark.parametrize(
    ("truth", "short"),
    [
        (random_sign(8, 0.7), {"mixture": 0.25, "trees": 0.45}),
        (clusters(4), {"mixture": 0.15}),
        (sharp(3, 0.3), {"trees": 0.35}),
    ],
    ids=["sign", "clusters", "edges"],
)
def test_most_of_the_information_is_found_and_not_more(truth, short):
    found = readings(truth, 800)
    for critic, allowed in short.items():
        assert truth.information - allowed < found[critic] < truth.information + 0.15


def test_a_sign_that_many_pairs_share_needs_no_mixture():
    truth = random_sign(20, 0.5)
    found = readings(truth, 800)
    assert found["mixture"] < found["trees"]
    assert 0.5 * truth.information < found["trees"] < truth.information


def test_critics_find_nothing_where_nothing_is():
    """By their own standard errors, as where a fit stops depends on the rounding of the machine."""
    for ratios_N in log_ratios(independent(4, 4), 800).values():
        assert ratios_N.mean() < 3.5 * ratios_N.std() / np.sqrt(len(ratios_N)) < 0.08


@pytest.mark.slow
def test_a_mixture_has_not_seen_the_pairs_of_its_fold():
    x, y = random_sign(4, 0.7).sample(400)
    folds = held_out(400)
    count = folds[1].joint
    rows = folds[1].x_rows[:count]
    swapped = y.copy()
    swapped[rows] = y[np.roll(rows, 1)]
    before, after = (other_ratios(x, part, folds, 0)["mixture"][1] for part in (y, swapped))
    # What were joint pairs are those at a distance of one row now.
    assert after[count : 2 * count] == pytest.approx(before[:count])


@pytest.mark.slow
@pytest.mark.parametrize(("family", "seed"), [("heteroscedastic", 0), ("clayton", 0)])
def test_what_two_features_say_of_one_another_is_seen_whatever_its_form(family, seed):
    """A spread that x decides, and tails: trees and mixtures read .1 to .3 less."""
    truth = family_truth(family, seed)
    found = readings(truth, 800, folds=5)  # as measure has them: fewer rows to learn from say less
    assert truth.information - 0.25 < found["pairwise"] < truth.information + 0.15
    assert found["mixture"] < found["sum"] < truth.information + 0.15


def test_noise_is_seen_by_its_density_though_it_is_turned():
    truth = family_truth("laplace_noise", 0)
    x, y = truth.sample(800, 1)
    known, held = np.arange(640), np.arange(640, 800)
    ratio = additive_noise_ratios(x, y, known, held, held, 0).mean()
    assert gaussian_copula_information(x, y) + 0.05 < ratio < truth.information + 0.15
