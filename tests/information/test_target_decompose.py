import json
import math
import time

import numpy as np
import pytest
import torch

from mmsa.errors import DataError
from mmsa.information.groups import group_folds
from mmsa.information.target import Decomposition, Effort, Target, decompose
from mmsa.information.target.combined import combined
from mmsa.information.target.posterior import Posterior, cross_fit
from mmsa.information.target.summaries import cells, most_cells, tables
from mmsa.information.three_sources import BEDS

QUICK = Effort(folds=3, seeds=1, permutations=2, resamples=50)
UNTESTED = Effort(folds=3, seeds=1, permutations=0, resamples=50)


@pytest.fixture(scope="module")
def private_and_parity():
    sample = BEDS["private_and_parity"].sample(800, seed=0)
    return decompose(sample.sources, sample.target, fusion=sample.sources["text"], effort=QUICK)


def test_finds_what_is_there_and_nothing_else(private_and_parity):
    """Text holds 0.71 bits of its own, audio and vision 0.71 more together and none alone."""
    found = private_and_parity
    assert found["information/text"].value == pytest.approx(0.71, abs=0.1)
    assert found["information/audio"].value < 0.02
    assert found["unique/text|audio/broja"].value == pytest.approx(0.71, abs=0.1)
    assert found["synergy/audio,vision/least"].value == pytest.approx(0.71, abs=0.2)
    assert found["redundancy/text,audio/broja"].value < 0.02
    assert found["redundancy/fusion,text/broja"].value == pytest.approx(0.71, abs=0.1)
    assert found["sufficiency_gap"].value == pytest.approx(0.71, abs=0.2)
    assert found["information/text"].status == found["gain/vision"].status == "ok"
    assert found["information/audio"].status == "below_null"


def test_interval_holds_the_value(private_and_parity):
    for name, quantity in private_and_parity.quantities.items():
        if name.startswith("information/"):
            assert quantity.low <= quantity.raw <= quantity.high, name


def test_atoms_add_up(private_and_parity):
    found = private_and_parity
    parts = ("redundancy/audio,vision", "unique/audio|vision", "unique/vision|audio", "synergy/audio,vision")
    total = sum(found[f"{part}/broja"].raw for part in parts)
    assert total == pytest.approx(found["information/audio+vision"].raw, abs=1e-9)


def test_record_survives_json(private_and_parity):
    written = json.loads(json.dumps(private_and_parity.to_dict()))
    assert Decomposition.from_dict(written) == private_and_parity
    assert written["quantities"]["information/text"]["status"] == "ok"


def test_table_names_every_bracket(private_and_parity):
    text = private_and_parity.text()
    assert "H(target) = 1.99" in text
    for name in ("information/text+audio+vision", "synergy/audio,vision", "unique/fusion|text"):
        assert name in text


def test_same_seed_same_record_whatever_the_global_generator():
    sample = BEDS["copy"].sample(200, seed=1)
    records = []
    for state in (0, 1):
        torch.manual_seed(state)
        record = decompose({"text": sample.sources["text"]}, sample.target, effort=UNTESTED).to_dict()
        records.append({**record, "seconds": 0})
    assert records[0] == records[1]


def test_memorised_labels_are_no_information():
    """More features than rows: a network can know every training row and has nothing to say on others."""
    generator = np.random.default_rng(0)
    x_ND, class_N = generator.standard_normal((150, 200)), generator.integers(0, 2, 150)
    terms_N = cross_fit(x_ND, class_N, np.arange(150) % 3, num_seeds=1, seed=0).terms(class_N)
    assert terms_N.mean() < 0.02


def test_groups_are_kept_whole():
    """Rows of a group are copies with one random label: across groups there is nothing to learn."""
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 5)
    x_ND, labels = generator.standard_normal((60, 6))[groups], generator.integers(0, 2, 60)[groups]
    whole = decompose({"audio": x_ND}, labels, groups, effort=UNTESTED)
    split = decompose({"audio": x_ND}, labels, effort=UNTESTED)
    assert whole["information/audio"].raw < 0.05 < 0.2 < split["information/audio"].raw
    assert whole.num_groups == 60


def test_continuous_target_in_bins():
    bed = BEDS["noise_cancelling"]
    sample = bed.sample(1500, seed=0)
    found = decompose({"text": sample.sources["text"]}, sample.target, effort=UNTESTED, bins=4)
    assert found.binned
    assert found.num_classes == 4
    assert found["information/text"].raw * math.log(2) == pytest.approx(
        bed.information(["text"], 4), abs=0.05
    )


def test_without_budget_no_null():
    sample = BEDS["copy"].sample(200, seed=1)
    started = time.monotonic()
    record = decompose(
        {"text": sample.sources["text"]}, sample.target, effort=Effort(3, 1, 10_000, 50), budget_s=0.0
    )
    assert record.permutations == 0
    assert record["information/text"].status == "untested"
    assert record["information/text"].p_value is None
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("rows", "groups"), [(40, None), (90, [row % 5 for row in range(90)])], ids=["rows", "groups"]
)
def test_too_few_is_said(rows, groups):
    sample = BEDS["copy"].sample(rows, seed=0)
    record = decompose(sample.sources, sample.target, groups, effort=QUICK)
    assert record.status == "too_few"
    assert record.quantities == {}
    assert "too few" in record.text()


def test_sources_are_checked_all_at_once():
    target = np.arange(100) % 2
    with pytest.raises(DataError) as refused:
        decompose({"text": np.zeros((99, 3)), "audio": np.full((100, 2), np.nan)}, target)
    assert "text is float64 of shape (99, 3); give (100, D) numbers" in str(refused.value)
    assert "audio has values that are not finite" in str(refused.value)
    with pytest.raises(DataError, match="none called 'fusion'"):
        decompose({"fusion": np.zeros((100, 3))}, target)


@pytest.mark.parametrize(
    ("values", "classes", "binned"),
    [
        (["b", "a", "b"] * 10, [1, 0, 1] * 10, False),
        ([True, False] * 10, [1, 0] * 10, False),
        ([0.5, 2.5] * 10, [0, 1] * 10, False),
        ([*range(300)], None, None),
        (np.linspace(0, 1, 300), np.repeat([0, 1, 2], 100), True),
    ],
)
def test_targets(values, classes, binned):
    if classes is None:
        with pytest.raises(DataError, match="300 classes in 300 rows; give numbers as floats"):
            Target.of(values)
        return
    found = Target.of(values)
    np.testing.assert_array_equal(found.classes, classes)
    assert found.binned == binned


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(30), "same value"),
        (np.zeros((30, 2)), r"\(30, 2\)"),
        ([0.0, np.nan] * 20, "20 rows, first 1"),
    ],
)
def test_unusable_targets(values, message):
    with pytest.raises(DataError, match=message):
        Target.of(values)


def test_entropy_in_nats():
    assert Target.of([0, 1] * 50).entropy() == pytest.approx(math.log(2))


def exact(table, columns):
    """Predictions that know the table (cells, classes), for rows in the given cells."""
    conditional = np.log(table / table.sum(1, keepdims=True))[columns]
    return Posterior(conditional, np.broadcast_to(np.log(table.sum(0)), conditional.shape))


def test_independent_parts_are_multiplied_and_useless_networks_passed_over():
    """Two noisy looks at one bit, independent given it; the network that sees both has learnt nothing."""
    generator = np.random.default_rng(0)
    class_N = generator.integers(0, 2, 4000)
    looks = [class_N ^ (generator.random(4000) < 0.2) for _ in range(2)]
    table = np.array([[0.4, 0.1], [0.1, 0.4]])
    single = [exact(table, look) for look in looks]
    nothing = Posterior(single[0].marginal, single[0].marginal)
    a, b = frozenset({"a"}), frozenset({"b"})
    fold_N = np.arange(4000) % 5
    best = combined({a: single[0], b: single[1], a | b: nothing}, class_N, fold_N, num_seeds=1, seed=0)
    weights = np.array([0.8 * 0.8, 0.8 * 0.2, 0.2 * 0.8, 0.2 * 0.2])
    joint = np.stack([weights, weights[::-1]], 1) / 2
    both = exact(joint, looks[0] * 2 + looks[1])
    assert best[a | b].terms(class_N).mean() == pytest.approx(both.terms(class_N).mean(), abs=2e-3)
    np.testing.assert_array_equal(best[a].conditional, single[0].conditional)


def test_predictions_that_are_no_product_are_stacked():
    """The bit is the "and" of what two sources see, and their predictions say all that they see."""
    looks = np.random.default_rng(0).integers(0, 2, (2, 3000))
    class_N = looks[0] & looks[1]
    single = [exact(np.array([[0.5, 1e-4], [0.25, 0.25]]), look) for look in looks]
    a, b = frozenset({"a"}), frozenset({"b"})
    nothing = Posterior(single[0].marginal, single[0].marginal)
    own = {a: single[0], b: single[1], a | b: nothing}
    best = combined(own, class_N, np.arange(3000) % 5, num_seeds=1, seed=0)
    entropy = -float(np.mean(single[0].marginal[np.arange(3000), class_N]))
    assert best[a | b].terms(class_N).mean() == pytest.approx(entropy, abs=0.03)


def test_cells_and_their_tables():
    class_N = np.array([0, 0, 1, 1, 1, 0])
    table = np.array([[0.45, 0.05], [0.05, 0.45]])
    cell_N = cells(exact(table, class_N), 2, seed=0)
    assert len(set(zip(cell_N, class_N, strict=True))) == 2
    weights_RG = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0]])
    counted = tables(class_N, class_N, np.array([0, 0, 1, 1, 2, 2]), weights_RG)
    np.testing.assert_allclose(counted[0], np.diag([0.5, 0.5]))
    np.testing.assert_allclose(counted[1], np.diag([5 / 6, 1 / 6]))


def test_cells_without_information_are_one():
    nothing = Posterior(np.log(np.full((30, 2), 0.5)), np.log(np.full((30, 2), 0.5)))
    assert set(cells(nothing, 4, seed=0)) == {0}


@pytest.mark.parametrize(
    ("rows", "classes", "expected"), [(30, 2, 2), (300, 2, 9), (686, 7, 4), (10_000, 2, 12)]
)
def test_as_many_cells_as_the_bias_allows(rows, classes, expected):
    assert most_cells(rows, classes) == expected


def test_predictions_keep_to_their_folds():
    """Labels that depend on the fold alone: a network that saw a row's fold would know its label."""
    generator = np.random.default_rng(2)
    fold_N = group_folds(np.arange(300), 3, seed=0)
    posterior = cross_fit(
        np.eye(3)[fold_N] + 0.01 * generator.standard_normal((300, 3)), fold_N, fold_N, num_seeds=1, seed=0
    )
    assert posterior.terms(fold_N).mean() <= 0.0
