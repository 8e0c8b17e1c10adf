from __future__ import annotations

import math

import pytest
import torch

from mmsa.errors import TrainingDiverged
from mmsa.training.monitors import Monitors


def scalars(**values: float) -> dict[str, torch.Tensor]:
    return {name.replace("__", "/"): torch.tensor(value) for name, value in values.items()}


def test_means_are_over_the_steps_that_gave_a_name():
    monitors = Monitors()
    monitors.add(0, scalars(loss__task=1.0, bound__cpc=4.0))
    monitors.add(1, scalars(loss__task=3.0))
    monitors.add(2, scalars(loss__task=5.0, bound__cpc=8.0))
    assert monitors.means() == {"loss/task": 3.0, "bound/cpc": 6.0}


def test_a_step_that_says_nothing_does_not_count():
    monitors = Monitors()
    monitors.add(0, {})
    monitors.check()
    monitors.add(1, scalars(loss__task=3.0))
    assert monitors.means() == {"loss/task": 3.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_step_and_term_are_found_when_asked_only_at_the_end(value):
    monitors = Monitors()
    for step in range(40):
        bad = {
            "loss__barber_agakov": value if step >= 17 else 1.0,
            "loss__task": value if step >= 18 else 1.0,
        }
        monitors.add(step, scalars(**bad))
    with pytest.raises(TrainingDiverged) as caught:
        monitors.check()
    assert (caught.value.step, caught.value.term) == (17, "barber_agakov")
    assert caught.value.value == pytest.approx(value, nan_ok=True)


def test_a_value_that_recovers_is_still_reported():
    monitors = Monitors()
    for step, value in enumerate([1.0, math.nan, 1.0]):
        monitors.add(step, scalars(loss__task=value))
    with pytest.raises(TrainingDiverged, match="task became nan at step 1"):
        monitors.means()


def test_when_all_fail_at_once_the_first_name_is_blamed():
    monitors = Monitors()
    monitors.add(5, scalars(loss__task=1.0, loss__cpc=math.inf, train__gradient=math.nan))
    with pytest.raises(TrainingDiverged, match="cpc became inf at step 5"):
        monitors.check()


def test_state_carries_on():
    first, second, whole = Monitors(), Monitors(), Monitors()
    for step in range(6):
        values = scalars(loss__task=1.0 / (step + 1), bound__cpc=step * 0.1)
        whole.add(step, values)
        (first if step < 3 else second).add(step, values)
        if step == 2:
            second.load_state_dict(first.state_dict(), torch.device("cpu"))
    assert second.means() == whole.means()
