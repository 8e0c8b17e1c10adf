import json
import math

import numpy as np
import pytest
import torch

from mmsa.data.planted import Planted
from mmsa.errors import DataError
from mmsa.information.distributions.three_sources import (
    BEDS,
    BitSources,
    GaussianSources,
    ThreeSourceSample,
)
from mmsa.information.groups import group_folds
from mmsa.information.target import FAST, Decomposition, Effort, Target, decompose, decomposing, predictive
from mmsa.information.target.decomposing import _Fit
from mmsa.information.target.decomposition import as_measurements
from mmsa.information.target.ordinal import ordered_probit
from mmsa.information.target.pid import cells, most_cells, tables
from mmsa.information.target.predictive import PredictiveDistribution, combined, cross_fit
from mmsa.information.target.quantities import label, subsets_of

pytestmark = pytest.mark.long

QUICK = Effort(folds=3, seeds=1, permutations=0, resamples=200)


@pytest.fixture(scope="module")
def private_and_parity():
    """Two sources, as the networks of three with a fusion take three times as long."""
    seen = {"text": (0, 1), "audio": (2,)}
    bed = BitSources(3, seen, lambda bits: np.stack([bits[:, 0], bits[:, 1] ^ bits[:, 2]], axis=1))
    sample = bed.sample(800, seed=0)
    fusion = sample.sources["text"]
    return decompose(sample.sources, sample.target, fusion=fusion, fusion_of=["text"], effort=QUICK)


@pytest.fixture
def linear(monkeypatch):
    """Networks cost seconds; an index costs milliseconds, and all else is the same."""

    def fitted(x_ND, class_N, fold_N, **_):
        return ordered_probit(np.asarray(x_ND, np.float64), class_N, fold_N)

    for module in (decomposing, predictive):
        monkeypatch.setattr(module, "cross_fit", fitted)


def test_finds_what_is_there_and_nothing_else(private_and_parity):
    """Text holds 0.71 bits of its own and 0.71 more together with audio, which holds none alone."""
    found = private_and_parity
    assert found["information/text"].value == pytest.approx(0.71, abs=0.1)
    assert abs(found["information/audio"].raw) < 0.02
    assert found["unique/text|audio/broja"].value == pytest.approx(0.71, abs=0.1)
    assert found["synergy/text,audio/least"].value == pytest.approx(0.71, abs=0.2)
    assert found["redundancy/text,audio/broja"].value < 0.02
    assert found["redundancy/fusion,text/broja"].value == pytest.approx(0.71, abs=0.1)
    assert found["sufficiency_gap"].value == pytest.approx(0.71, abs=0.2)
    assert found["information/text"].status == found["gain/audio"].status == "ok"
    assert found["information/audio"].status == "below_null"
    assert found["whole_minus_sum"].status == found["synergy/text,audio/least"].status == "positive"
    assert found["synergy/fusion,text/least"].status in ("negative", "undetermined")
    assert found["information/text"].raw == found["information/text+fusion"].raw


class WeightedSum(GaussianSources):
    """The target is a sum of independent sources and noise, of other weights each."""

    weights = {"text": 1.0, "audio": 0.9, "vision": 0.6}

    def correlation(self, subset):
        squares = {name: weight**2 for name, weight in self.weights.items()}
        return math.sqrt(sum(squares[name] for name in subset) / (sum(squares.values()) + 0.5**2))

    def sample(self, num_rows, seed, dim=1):
        *columns, noise_N = np.random.default_rng(seed).standard_normal((4, num_rows))
        target_N = 0.5 * noise_N + sum(w * x_N for w, x_N in zip(self.weights.values(), columns, strict=True))
        return ThreeSourceSample(dict(zip(self.weights, columns, strict=True)), target_N)


def test_every_subset_of_three_sources_is_read_in_its_place(linear):
    """All seven informations differ, from 0.1 bits of vision to 1.3 of all three."""
    bed = WeightedSum()
    sample = bed.sample(500, seed=1)
    found = decompose(sample.sources, sample.target, effort=QUICK, bins=4)
    names = tuple(sample.sources)
    for subset in subsets_of(names):
        read = found[f"information/{label(subset, names)}"]
        assert read.raw == pytest.approx(bed.information(subset, 4) / math.log(2), abs=0.08), subset
        assert read.status == "ok", subset
    assert all(found[f"gain/{name}"].status == "ok" for name in names)


@pytest.mark.parametrize("num_groups", [8, 15])
def test_interval_holds_the_information_of_other_videos(num_groups):
    """A source is right in 95 % of the rows of some videos and in 55 % of others; videos differ in length."""
    share, held, draws = 0.75, 0, 200
    table = np.array([[share, 1 - share], [1 - share, share]]) / 2
    truth = 1 + np.mean([p * math.log2(share) + (1 - p) * math.log2(1 - share) for p in (0.55, 0.95)])
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        groups = np.repeat(np.arange(num_groups), generator.integers(5, 25, num_groups))
        class_N = generator.integers(0, 2, len(groups))
        right_N = generator.random(len(groups)) < generator.choice([0.55, 0.95], num_groups)[groups]
        fit = fit_of({"text": class_N[:, None]}, class_N, groups, seed)
        read = fit.read({frozenset({"text"}): exact(table, np.where(right_N, class_N, 1 - class_N))}, [])
        held += read["information/text"].low <= truth <= read["information/text"].high
    assert 0.85 <= held / draws <= 0.97


def test_atoms_add_up(private_and_parity):
    found = private_and_parity
    parts = ("redundancy/text,audio", "unique/text|audio", "unique/audio|text", "synergy/text,audio")
    total = sum(found[f"{part}/broja"].raw for part in parts)
    assert total == pytest.approx(found["information/text+audio"].raw, abs=1e-9)


def test_record_survives_json(private_and_parity):
    written = json.loads(json.dumps(private_and_parity.to_dict()))
    assert Decomposition.from_dict(written) == private_and_parity
    assert written["quantities"]["information/text"]["status"] == "ok"


def test_table_names_every_bracket(private_and_parity):
    text = private_and_parity.text()
    assert "H(target) = 1.99" in text
    for name in ("information/text+audio", "synergy/text,audio", "unique/fusion|text"):
        assert name in text


def test_same_seed_same_record_whatever_the_global_generator():
    sample = BEDS["copy"].sample(200, seed=1)
    records = []
    for state in (0, 1):
        torch.manual_seed(state)
        record = decompose({"text": sample.sources["text"]}, sample.target, effort=QUICK).to_dict()
        records.append({**record, "seconds": 0})
    assert records[0] == records[1]


def test_memorised_labels_are_no_information():
    """More features than rows: a network can know every training row and has nothing to say on others."""
    generator = np.random.default_rng(0)
    x_ND, class_N = generator.standard_normal((150, 200)), generator.integers(0, 2, 150)
    terms_N = cross_fit(x_ND, class_N, np.arange(150) % 3, num_seeds=1, seed=0).terms(class_N)
    assert abs(terms_N.mean()) < 0.02


def test_groups_are_kept_whole():
    """Rows of a group are copies with one random label: across groups there is nothing to learn."""
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 5)
    x_ND, labels = generator.standard_normal((60, 6))[groups], generator.integers(0, 2, 60)[groups]
    whole = decompose({"audio": x_ND}, labels, groups, effort=QUICK)
    split = decompose({"audio": x_ND}, labels, effort=QUICK)
    assert abs(whole["information/audio"].raw) < 0.05 < 0.2 < split["information/audio"].raw
    assert whole["information/audio"].status == "below_null"
    assert whole.num_groups == 60


def test_continuous_target_in_bins():
    bed = BEDS["noise_cancelling"]
    sample = bed.sample(1500, seed=0)
    found = decompose({"text": sample.sources["text"]}, sample.target, effort=QUICK, bins=4)
    assert found.binned
    assert found.num_classes == 4
    assert found["information/text"].raw * math.log(2) == pytest.approx(
        bed.information(["text"], 4), abs=0.05
    )


def test_informative_modalities_pass_for_informative():
    """Rows of videos of five, as many as a small valid split has."""
    found = decompose_planted(["text"], effort=FAST)
    assert found["information/text"].status == "ok"
    assert found["information/text"].raw == pytest.approx(0.5, abs=0.15)


def test_a_private_bit_is_not_hidden_by_bins():
    """Eight values of the label in 200 rows: three bins of them hide the bit of vision."""
    bits = dict.fromkeys(("text_bits", "audio_bits", "vision_bits"), 0.7)
    planted = Planted(Planted.Config(rows_train=200, shared_bits=0.0, synergy_bits=0.0, seed=1, **bits))
    split = planted.open(["train"])["train"]
    found = decompose({"vision": pooled(split.vision)}, split.labels, split.groups, effort=FAST)
    assert found["information/vision"].status == "ok"
    assert found["information/vision"].raw == pytest.approx(0.5, abs=0.15)


def test_refits_of_permuted_targets_stay_near_zero(linear):
    found = decompose_planted(["text"], effort=Effort(2, 1, 19, 200))["information/text"]
    assert -0.1 < found.null_mean <= found.null_bound < 0.1
    assert found.p_value == 0.05
    assert found.status == "ok"


def test_gains_are_refitted_with_the_modality_permuted(linear):
    """Audio is noise. Were targets permuted, there would be nothing for text to gain either."""
    generator = np.random.default_rng(0)
    x = {name: generator.standard_normal((200, 3)) for name in ("text", "audio")}
    target = (x["text"][:, 0] + 0.5 * generator.standard_normal(200) > 0).astype(np.int64)
    found = decompose(x, target, np.arange(200) // 5, effort=Effort(2, 1, 19, 200))
    for name, status in (("text", "ok"), ("audio", "below_null")):
        gain = found[f"gain/{name}"]
        assert gain.status == status, name
        assert -0.1 < gain.null_mean <= gain.null_bound < 0.1, name
    assert found["gain/audio"].low <= 0.0
    assert found["whole_minus_sum"].null_bound is None


def test_unrelated_groups_pass_for_informative_in_few_draws(linear):
    """Videos of unequal length with targets and features of their own, and nothing in common."""
    statuses, raw = [], []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        groups = np.repeat(np.arange(12), generator.integers(5, 40, 12))
        x_ND = generator.standard_normal((len(groups), 8)) + generator.standard_normal((12, 8))[groups]
        drawn_N = generator.standard_normal(len(groups)) + 0.7 * generator.standard_normal(12)[groups]
        found = decompose({"text": x_ND}, drawn_N > 0, groups, effort=FAST, seed=seed)
        statuses.append(found["information/text"].status)
        raw.append(found["information/text"].raw)
    assert statuses.count("ok") <= 4
    assert -0.1 < np.mean(raw) < 0.03


def test_whole_that_reads_less_than_its_part_is_incoherent():
    """Text knows the bit in nine rows of ten; the network that sees audio too has learnt nothing."""
    generator = np.random.default_rng(0)
    class_N = generator.integers(0, 2, 400)
    look_N = class_N ^ (generator.random(400) < 0.1)
    text = exact(np.array([[0.45, 0.05], [0.05, 0.45]]), look_N)
    nothing = PredictiveDistribution(text.marginal, text.marginal)
    fit = fit_of(dict.fromkeys(("text", "audio"), class_N[:, None]), class_N, np.arange(400) // 4, 0)
    a, b = frozenset({"text"}), frozenset({"audio"})
    read = fit.read({a: text, b: nothing, a | b: nothing}, [])
    assert read["information/text"].status == "ok"
    for name in ("information/text+audio", "gain/text", "gain/audio", "whole_minus_sum"):
        assert read[name].status == "incoherent", name
    assert (
        read["synergy/text,audio/least"].status == read["redundancy/text,audio/broja"].status == "incoherent"
    )
    assert read["unique/text|audio/least"].status == "positive"
    (line,) = [
        line
        for line in fit.record(read, permutations=0, seconds=0.0).text().splitlines()
        if line.startswith("unique/text|audio")
    ]
    assert line.endswith("incoherent"), "it is at least more than it is at most"


def test_what_a_fusion_knows_its_modalities_know(linear):
    """The label is the sign of a product, which no index over the features finds."""
    generator = np.random.default_rng(1)
    x = {name: generator.standard_normal((240, 8)) for name in ("text", "audio")}
    fusion = x["text"][:, :1] * x["audio"][:, :1]
    target = (fusion[:, 0] > 0).astype(np.int64)
    known = decompose(x, target, fusion=fusion, effort=QUICK)
    assert known["information/fusion"].raw > 0.8
    assert known["information/text+audio"].raw == pytest.approx(known["information/fusion"].raw, abs=0.1)
    assert known["sufficiency_gap"].status in ("undetermined", "positive")
    assert known["information/text+audio"].status == known["gain/text"].status == "ok"
    elsewhere = decompose(x, target, fusion=fusion, fusion_of=(), effort=QUICK)
    assert elsewhere["information/text+audio"].raw < 0.3
    assert elsewhere["sufficiency_gap"].status == "negative"
    assert elsewhere["information/text+audio"].status != "incoherent"


def test_without_budget_no_refits():
    sample = BEDS["copy"].sample(200, seed=1)
    record = decompose(
        {"text": sample.sources["text"]}, sample.target, effort=Effort(3, 1, 10_000, 50), budget_s=0.0
    )
    assert record.permutations == 0
    assert record["information/text"].null_bound is None
    assert record["information/text"].status == "ok"


@pytest.mark.parametrize(
    ("rows", "groups", "status"),
    [
        (40, np.arange(40), "too_few"),
        (90, np.arange(90) % 5, "too_few_groups"),
        (330, np.r_[np.zeros(297, int), np.repeat(np.arange(1, 12), 3)], "too_few_groups"),
    ],
    ids=["rows", "groups", "one large group"],
)
def test_too_few_is_said(rows, groups, status):
    sample = BEDS["copy"].sample(rows, seed=0)
    record = decompose(sample.sources, sample.target, groups, effort=QUICK)
    assert record.status == status
    assert record.quantities == {}
    assert "too few" in record.text()
    assert {measured.status for measured in as_measurements(record).values()} == {status}


def test_sources_are_checked_all_at_once():
    target = np.arange(100) % 2
    with pytest.raises(DataError) as refused:
        decompose({"text": np.zeros((99, 3)), "audio": np.full((100, 2), np.nan)}, target)
    assert "text is float64 of shape (99, 3); give (100, D) numbers" in str(refused.value)
    assert "audio has values that are not finite" in str(refused.value)
    with pytest.raises(DataError, match="fusion_of names vision; the modalities are text"):
        decompose({"text": np.zeros((100, 1))}, target, fusion=np.zeros(100), fusion_of=["vision"])
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
        (np.tile(np.arange(8) / 8, 25), np.tile(np.arange(8), 25), False),
        (np.tile(np.arange(8) / 8, 9), np.tile([0, 0, 1, 1, 1, 2, 2, 2], 9), True),
    ],
)
def test_targets(values, classes, binned):
    if classes is None:
        with pytest.raises(DataError, match=r"300 classes in 300 rows; \d+ rows are needed.*given as floats"):
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
        ([0.0, 1.0, 2.0] * 4, "3 values in 12 rows; 15 rows are needed"),
        (np.arange(12.0), "3 bins in 12 rows; 15 rows are needed"),
    ],
)
def test_unusable_targets(values, message):
    with pytest.raises(DataError, match=message):
        Target.of(values)


def test_entropy_in_nats():
    assert Target.of([0, 1] * 50).entropy() == pytest.approx(math.log(2))


def decompose_planted(names, **options):
    split = Planted(Planted.Config(rows_train=200)).open(["train"])["train"]
    sources = {name: getattr(split, name).values for name in names}
    return decompose(sources, split.labels, split.groups, **options)


def pooled(features):
    return np.add.reduceat(features.values, features.offsets[:-1]) / features.lengths()[:, None]


def fit_of(sources, class_N, groups, seed):
    sources = {name: x_ND.astype(np.float64) for name, x_ND in sources.items()}
    return _Fit(sources, (), Target.of(class_N), np.asarray(groups), QUICK, seed)


def exact(table, columns):
    """Predictions that know the table (cells, classes), for rows in the given cells."""
    conditional = np.log(table / table.sum(1, keepdims=True))[columns]
    return PredictiveDistribution(conditional, np.broadcast_to(np.log(table.sum(0)), conditional.shape))


def test_independent_parts_are_multiplied_and_useless_networks_passed_over():
    """Two noisy looks at one bit, independent given it; the network that sees both has learnt nothing."""
    generator = np.random.default_rng(0)
    class_N = generator.integers(0, 2, 4000)
    looks = [class_N ^ (generator.random(4000) < 0.2) for _ in range(2)]
    table = np.array([[0.4, 0.1], [0.1, 0.4]])
    single = [exact(table, look) for look in looks]
    nothing = PredictiveDistribution(single[0].marginal, single[0].marginal)
    a, b = frozenset({"a"}), frozenset({"b"})
    fold_N = np.arange(4000) % 5
    best = combined({a: single[0], b: single[1], a | b: nothing}, class_N, fold_N, num_seeds=1, seed=0)
    weights = np.array([0.8 * 0.8, 0.8 * 0.2, 0.2 * 0.8, 0.2 * 0.2])
    joint = np.stack([weights, weights[::-1]], 1) / 2
    both = exact(joint, looks[0] * 2 + looks[1])
    assert best[a | b].terms(class_N).mean() == pytest.approx(both.terms(class_N).mean(), abs=2e-3)
    np.testing.assert_array_equal(best[a].conditional, single[0].conditional)


@pytest.mark.slow
def test_predictions_that_are_no_product_are_stacked():
    """The bit is the "and" of what two sources see, and their predictions say all that they see."""
    looks = np.random.default_rng(0).integers(0, 2, (2, 1200))
    class_N = looks[0] & looks[1]
    single = [exact(np.array([[0.5, 1e-4], [0.25, 0.25]]), look) for look in looks]
    a, b = frozenset({"a"}), frozenset({"b"})
    nothing = PredictiveDistribution(single[0].marginal, single[0].marginal)
    own = {a: single[0], b: single[1], a | b: nothing}
    best = combined(own, class_N, np.arange(1200) % 5, num_seeds=1, seed=0)
    entropy = -float(np.mean(single[0].marginal[np.arange(1200), class_N]))
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
    nothing = PredictiveDistribution(np.log(np.full((30, 2), 0.5)), np.log(np.full((30, 2), 0.5)))
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
    predicted = cross_fit(
        np.eye(3)[fold_N] + 0.01 * generator.standard_normal((300, 3)), fold_N, fold_N, num_seeds=1, seed=0
    )
    assert -0.1 <= predicted.terms(fold_N).mean() <= 0.0
