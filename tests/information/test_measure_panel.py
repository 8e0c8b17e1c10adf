"""Which quantities there are, what they are called, and what time does to them."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import create_autospec

import numpy as np
import pytest

from mmsa.information import measure
from mmsa.information.budget import TimeBudget
from mmsa.information.measure_panel import measure_panel, principal_directions
from mmsa.information.panel import CORE, FAMILIES, METRIC, added, metrics, names, sums
from mmsa.information.target import Effort, mimrl_code
from mmsa.measurement import Measurement

MODALITIES = ("text", "audio", "vision")
ROWS = 240
GROUPS = np.arange(ROWS) // 4
QUICK = tuple(family for family in FAMILIES if family != "decomposition")


def representations(modalities=MODALITIES) -> dict[str, np.ndarray]:
    """Text and audio share what the target is made of; vision is noise; the fusion sees text and audio."""
    generator = np.random.default_rng(0)
    target = generator.standard_normal(ROWS)
    parts = {name: generator.standard_normal((ROWS, 4)) for name in MODALITIES}
    parts["text"][:, 0] += 2 * target
    parts["audio"][:, 0] += target
    parts["fusion"] = np.hstack([parts["text"], parts["audio"]]) + generator.standard_normal((ROWS, 8))
    return {name: parts[name] for name in (*modalities, "fusion")} | {"target": target}


def measured(families=QUICK, modalities=MODALITIES, **options) -> dict[str, Measurement]:
    sources = representations(modalities)
    return measure_panel(sources, sources.pop("target"), GROUPS, families, **options)


class Clock:
    """A machine on which everything takes as long as it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_quantity_of_three_modalities_has_a_name():
    assert names(CORE, MODALITIES) == [
        *("target/fusion", "target/text", "target/audio", "target/vision"),
        *("fusion/text", "fusion/audio", "fusion/vision"),
        *("invariant/text-audio", "invariant/text-vision", "invariant/audio-vision"),
    ]
    assert len(names(("conditional",), MODALITIES)) == 9
    assert list(sums(QUICK, MODALITIES)) == [
        "mimrl/invariant",
        *(f"mimrl/specific/{name}" for name in MODALITIES),
        "mimrl/complementary",
    ]
    assert list(measured()) == names(QUICK, MODALITIES)


def test_absent_modalities_give_the_smaller_set():
    assert names(CORE, ("text",)) == ["target/fusion", "target/text", "fusion/text"]
    assert names(("mimrl",), ("audio", "vision")) == []
    found = measured(("mimrl",), ("text", "audio"))
    assert list(found) == [
        "invariant/text-audio",
        "conditional/text-audio-given-target",
        "conditional/text-target-given-audio",
        "conditional/audio-target-given-text",
        *("mimrl/invariant", "mimrl/specific/text", "mimrl/specific/audio", "mimrl/complementary"),
    ]


def test_names_are_valid_for_mlflow():
    from mlflow.utils.validation import _validate_metric_name

    for name in names(FAMILIES, MODALITIES):
        _validate_metric_name(f"{METRIC}{name}/low")


def test_sums_are_those_of_mimrl_code():
    found = measured()
    pairwise = {frozenset({"text", m}): found[f"invariant/text-{m}"].value for m in ("audio", "vision")}
    conditional = {}
    for m in ("audio", "vision"):
        parts = {
            (frozenset({"text", m}), "target"): f"text-{m}-given-target",
            (frozenset({m, "target"}), "text"): f"{m}-target-given-text",
            (frozenset({"text", "target"}), m): f"text-target-given-{m}",
        }
        conditional |= {key: found[f"conditional/{name}"].value for key, name in parts.items()}
    for name, value in mimrl_code(pairwise, conditional, MODALITIES).items():
        assert found[f"mimrl/{name}"].value == pytest.approx(value)


def test_what_is_there_is_found_and_what_is_not_is_not():
    found = measured()
    for name in ("target/text", "target/fusion", "fusion/text", "invariant/text-audio"):
        assert found[name].status == "ok"
        assert found[name].low <= found[name].value <= found[name].high
    assert found["target/vision"].status == found["invariant/text-vision"].status == "below_null"


def test_a_sum_is_no_surer_than_its_parts():
    found = measured()
    parts = [found["conditional/text-target-given-audio"], found["invariant/text-audio"]]
    difference = added([(1.0, parts[0]), (-1.0, parts[1])])
    widths = [part.high - part.low for part in (*parts, difference)]
    assert difference.value == pytest.approx(parts[0].value - parts[1].value)
    assert widths[2] == pytest.approx(widths[0] + widths[1])


def test_a_difference_is_positive_negative_or_undetermined_and_a_sum_of_nothing_is_nothing():
    found = measured()
    text, audio, vision = (found[f"target/{name}"] for name in MODALITIES)
    assert added([(1.0, text), (-1.0, vision)]).status == "positive"
    assert added([(1.0, vision), (-1.0, text)]).status == "negative"
    assert added([(1.0, vision), (-1.0, vision)]).status == "undetermined"
    assert added([(1.0, vision), (1.0, found["invariant/text-vision"])]).status == "below_null"
    assert added([(1.0, vision), (1.0, audio)]).status == "ok"
    assert added([(1.0, text), (1.0, replace(audio, status="untested"))]).status == "untested"


def test_a_target_of_groups_is_measured_over_groups():
    sources = {name: values[:, :2] for name, values in representations().items() if name != "target"}
    target = sources["text"].reshape(-1, 4, 2)[..., 0].mean(1) + 0.3 * np.random.default_rng(
        1
    ).standard_normal(60)
    found = measure_panel(sources, target[GROUPS], GROUPS, ("target",))["target/text"]
    assert (found.status, found.num_samples) == ("ok", 60)


def test_metrics_are_what_the_status_allows():
    found = metrics(measured())
    assert {"information/target/text", "information/target/text/low", "information/target/text/high"} <= (
        found.keys()
    )
    nothing = measured()["target/vision"]
    assert nothing.status == "below_null"
    assert found["information/target/vision"] == nothing.value != 0.0
    assert found["information/target/vision/low"] == nothing.low
    copied = replace(nothing, status="saturated", value=9.9, ceiling=5.5)
    assert metrics({"a": copied}) == {"information/a": 5.5}
    assert metrics({"a": replace(nothing, status="disagree")}) == {}
    assert metrics(measured(budget=TimeBudget(0.0))) == {}


def test_the_same_rows_give_the_same_numbers_whatever_the_threads():
    assert measured() == measured(budget=TimeBudget(1e9))


def test_without_time_quantities_are_skipped_and_so_are_their_sums():
    found = measured(budget=TimeBudget(0.0))
    assert {measurement.status for measurement in found.values()} == {"skipped"}
    assert {measurement.value for measurement in found.values()} == {None}


def test_networks_are_tested_if_there_is_time_for_it(monkeypatch):
    asked = []

    def slow(x, y, z, *, groups, permutations, seed):
        asked.append(permutations)
        clock.now += 2.0 * (2 + permutations)  # four times slower than expected
        return measured(("target",))["target/text"]

    monkeypatch.setattr("mmsa.information.measure_panel.measure", create_autospec(measure, side_effect=slow))
    clock = Clock()
    measured(("target",), estimator="networks", budget=TimeBudget(66.0, clock))
    # 0.54 s are expected of a reading: 19 fit at first; as slow as the first, only no test fits then.
    assert asked == [19, 0, 0, 0]
    assert clock.now <= 66.0


def test_a_decomposition_is_a_family_like_the_others(monkeypatch):
    monkeypatch.setattr("mmsa.information.measure_panel.FAST", Effort(3, 1, permutations=0, resamples=50))
    found = measured(("decomposition",), ("text",))
    assert sorted(found) == sorted(names(("decomposition",), ("text",)))
    total = found["decomposition/subset/text_fusion"]
    assert (total.status, total.estimator, total.unit) == ("ok", "cross_entropy", "nat")
    assert total.low <= total.value <= total.high <= total.ceiling
    assert {m.status for m in measured(("decomposition",), budget=TimeBudget(1.0)).values()} == {"skipped"}


def test_a_decomposition_of_too_few_rows_says_so():
    sources = {name: values[:50] for name, values in representations(("text",)).items()}
    found = measure_panel(sources, sources.pop("target"), np.arange(50), ("decomposition",))
    assert {measurement.status for measurement in found.values()} == {"too_few"}
    assert list(found) == names(("decomposition",), ("text",))


@pytest.mark.parametrize("slowness", [0.1, 1.0, 30.0])
def test_a_budget_is_exceeded_by_the_surprise_of_the_first_task_only(slowness):
    clock = Clock()
    budget, begun = TimeBudget(10.0, clock), 0
    for _ in range(100):
        if budget.allows(1.0):
            with budget.spending(1.0):
                clock.now += slowness
            begun += 1
    assert begun == {0.1: 100, 1.0: 10, 30.0: 1}[slowness]
    assert clock.now <= max(10.0, slowness)


def test_wide_representations_are_measured_along_their_principal_directions():
    values = np.random.default_rng(0).standard_normal((ROWS, 50)) * np.linspace(1.0, 3.0, 50)
    components = principal_directions(values)
    assert components.shape == (ROWS, 20)
    spread = components.var(0)
    assert (np.diff(spread) < 0).all()
    eigenvalues = np.linalg.eigvalsh(np.cov(values.T, bias=True))
    assert spread == pytest.approx(eigenvalues[:-21:-1], rel=0.1)  # of normal scores
    narrow = values[:, :20]
    assert principal_directions(narrow) is narrow
