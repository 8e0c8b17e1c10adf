"""What every registered information estimator promises. A new one joins with one line in ``CASES``."""

import pytest
from estimator_cases import CASES

from mmsa.information import ESTIMATORS
from mmsa.testing import EstimatorContract
from mmsa.testing.estimators import TRUTH

pytestmark = pytest.mark.long


class TestEstimators(EstimatorContract):
    CASES = CASES
    SHORTFALL = {
        "infonce/bilinear": 1.2,  # no critic of one product is the log ratio of two correlated pairs
        "jsd_lb": 0.4,  # what it gives up for its direction
        "flo": 0.35,  # of the same training, with a second head
        "ksg": 0.4,  # neighbours in 64 rows
    }
    TRAINED_AS = {
        "gan_dime": "jsd",
        "jsd_lb": "jsd",
        "barber_agakov/diagonal-kde": "barber_agakov",
    }
    # CLUB's own limit is not the information but half of the Jeffreys divergence on top of it.
    UPPER = {"club": 2 * 0.9**2 / (1 - 0.9**2), "l1out": TRUTH + 0.15}


def test_every_registered_estimator_has_a_case():
    assert {config["name"] for config in CASES.values()} == set(ESTIMATORS)
