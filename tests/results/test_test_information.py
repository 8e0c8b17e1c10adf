"""The table of measured information: a value where its status allows one, the status where not."""

from __future__ import annotations

import numpy as np

from mmsa.information.copula_panel import CopulaPanel
from mmsa.measurement import not_measured
from mmsa.results.test_information import information_table


def test_a_cell_is_a_value_with_its_interval_or_the_reason_why_not() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 100))
    panel = CopulaPanel({"x": x, "twin": x + 0.5 * y, "y": y})
    twin = panel.measure("x", "twin")
    nothing = panel.measure("x", "y")
    first = {"target/text": twin, "target/audio": nothing}
    skipped = not_measured("skipped", num_samples=100, num_groups=100, dims=(1, 1))
    second = {"target/text": skipped, "target/audio": panel.measure("x", "x")}
    title, heads, text, audio = information_table("on test", {"seed 0": first, "seed 1": second})
    assert title == "information on test, in nats, with 90 % intervals"
    assert heads.split() == ["seed", "0", "seed", "1"]
    assert text.split("  ")[0] == "target/text"
    assert f"{twin.value:.3f} [{twin.low:.3f}, {twin.high:.3f}]" in text
    assert text.endswith(" skipped")
    assert f"{nothing.value:.3f} [{nothing.low:.3f}, {nothing.high:.3f}] below null" in audio
    assert audio.endswith(" saturated at 4.605")


def test_nothing_measured_is_no_table() -> None:
    assert information_table("on test", {"seed 0": {}}) == []
