import math

import pytest
import torch
from pydantic import ValidationError

from mmsa.config import parse
from mmsa.errors import ConfigError
from mmsa.information import conditional


def test_readings_by_definition():
    joint, product = torch.tensor([1.0, -0.5, 2.0]), torch.tensor([0.3, -1.0])
    ratios = product.exp().mean().item()
    assert conditional.conditional_dv(joint, product).item() == pytest.approx(
        joint.mean().item() - math.log(ratios)
    )
    assert conditional.conditional_nwj(joint, product).item() == pytest.approx(
        1 + joint.mean().item() - ratios
    )
    entropy = (joint.neg().exp() + 1).log().mean() + (product.exp() + 1).log().mean()
    assert conditional.conditional_jsd(joint, product).item() == pytest.approx(
        math.log(2) - 0.5 * entropy.item()
    )


def test_mimrl_code_by_definition():
    joint, product = torch.tensor([1.0, 12.0]), torch.tensor([0.3, -30.0])

    def mean_log_ratio(logits):
        total = 0.0
        for logit in logits.clamp(-10, 10).double().tolist():
            g = 1 / (1 + math.exp(-logit))
            total += math.log(g / (1 - g + 1e-6))
        return total / len(logits)

    expected = 1 + 0.5 * mean_log_ratio(joint) - 0.5 * mean_log_ratio(product)
    assert conditional.conditional_mimrl_code(joint, product).item() == pytest.approx(expected, abs=1e-5)


def test_a_difference_of_bounds_is_refused():
    with pytest.raises(ConfigError, match="infonce") as refused:
        parse(
            conditional.Difference.Config,
            {"name": "cmi_difference", "estimator": {"name": "infonce"}},
            "objective",
        )
    assert "gan_dime" in str(refused.value)
    with pytest.raises(ValidationError):
        conditional.Difference.Config(estimator={"name": "club"})
