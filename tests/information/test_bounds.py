import math

import pytest
import torch

from mmsa.information.bounds import infonce


def test_infonce_by_definition():
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    rows = [scores[i, i].item() - math.log(sum(math.exp(s) for s in scores[i])) for i in range(5)]
    assert infonce(scores).item() == pytest.approx(sum(rows) / 5 + math.log(5), abs=1e-6)
    both = 0.5 * (infonce(scores) + infonce(scores.T))
    assert infonce(scores, symmetric=True).item() == pytest.approx(both.item(), abs=1e-6)
