import itertools
import math

import numpy as np
import pytest

from mmsa.data.corpus import MODALITIES
from mmsa.data.planted import Planted, rotation
from mmsa.information.distributions.three_sources import BEDS, BitSources, GaussianSources

SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(MODALITIES, size)]
BIT_BEDS = {name: bed for name, bed in BEDS.items() if isinstance(bed, BitSources)}


def channel(error):
    return math.log(2) + error * math.log(error) + (1 - error) * math.log(1 - error)


@pytest.mark.parametrize("subset", SUBSETS)
def test_informations_of_simple_beds(subset):
    one = channel(0.05)
    assert BEDS["copy"].information(subset) == pytest.approx(one)
    assert BEDS["private"].information(subset) == pytest.approx(len(subset) * one)
    assert BEDS["parity"].information(subset) == pytest.approx(one * (len(subset) == 3), abs=1e-12)
    expected = one * (("text" in subset) + ({"audio", "vision"} <= set(subset)))
    assert BEDS["private_and_parity"].information(subset) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("subset", SUBSETS)
def test_agrees_with_planted_data(subset):
    """Text has a private bit, audio and vision another together, each worth as much as in the bed."""
    size = channel(0.05) / math.log(2)
    config = Planted.Config(
        shared_bits=0.0, text_bits=size, audio_bits=0.0, vision_bits=0.0, synergy_bits=size
    )
    planted = Planted(config).truth().information(subset)
    assert BEDS["private_and_parity"].information(subset) == pytest.approx(planted, abs=1e-9)


@pytest.mark.parametrize("name", BIT_BEDS)
def test_samples_follow_the_table(name):
    """Bits are read back from the features without error; their joint counts match the probabilities."""
    bed, rows = BIT_BEDS[name], 20_000
    sample = bed.sample(rows, seed=3)
    cells = []
    for modality, seen in bed.seen.items():
        turned = sample.sources[modality] @ rotation(3, modality, 8).T
        assert np.abs(np.abs(turned[:, : len(seen)]) - 1).max() <= 0.5
        cells.append((turned[:, : len(seen)] > 0) @ (1 << np.arange(len(seen))))
    expected = bed.table(*([modality] for modality in bed.seen))
    if name == "copy":
        assert all((cell == cells[0]).all() for cell in cells)
        expected, cells = bed.table(["text"]), cells[:1]
    counted = np.zeros_like(expected)
    np.add.at(counted, (*cells, sample.target), 1 / rows)
    np.testing.assert_allclose(counted, expected, atol=5 * math.sqrt(0.25 / rows))


def test_gaussian_truth():
    """Log-determinants, by hand for one source; bins lose information, and less and less of it."""
    bed = GaussianSources(noise=1.0, error=0.5)
    assert bed.information(["audio"]) == pytest.approx(0.0, abs=1e-12)
    assert bed.information(["text"]) == pytest.approx(0.5 * math.log(2.25 / 1.25))
    binned = [bed.information(MODALITIES, num_bins) for num_bins in (2, 4, 16, 256)]
    assert binned == sorted(binned)
    assert binned[-1] == pytest.approx(bed.information(MODALITIES), abs=0.01)
    assert binned[-1] < bed.information(MODALITIES)


def test_gaussian_samples_follow_the_truth():
    bed = GaussianSources()
    sample = bed.sample(20_000, seed=1)
    features = np.hstack([sample.sources[name] for name in MODALITIES])
    fitted = features @ np.linalg.lstsq(features, sample.target)[0]
    assert np.corrcoef(fitted, sample.target)[0, 1] == pytest.approx(bed.correlation(MODALITIES), abs=0.01)


def test_same_seed_same_rows():
    bed = BEDS["majority"]
    one, again, other = bed.sample(50, 0), bed.sample(50, 0), bed.sample(50, 1)
    np.testing.assert_array_equal(one.sources["text"], again.sources["text"])
    assert not np.array_equal(one.target, other.target)
