from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsa.config import parse
from mmsa.data.corpus import MODALITIES, Features, Split
from mmsa.data.planted import Planted, rotation
from mmsa.errors import ConfigError

SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(MODALITIES, size)]
sizes = st.floats(0.0, 1.6)


@given(
    sizes, sizes, sizes, sizes, sizes, st.sampled_from([("text", "audio"), ("audio", "vision"), MODALITIES])
)
@settings(deadline=None, max_examples=40)
def test_every_subset_holds_the_bits_that_were_asked_for(
    shared: float, text: float, audio: float, vision: float, synergy: float, of: tuple[str, ...]
) -> None:
    """Enumerated over the channel's states; here the chain rule says what has to come out."""
    if not 1 <= sum(map(math.ceil, (shared, text, audio, vision, synergy))) <= 8:
        return
    config = Planted.Config(
        shared_bits=shared,
        text_bits=text,
        audio_bits=audio,
        vision_bits=vision,
        synergy_bits=synergy,
        synergy_of=of,  # type: ignore[arg-type]
    )
    truth = Planted(config).truth()
    private = {"text": text, "audio": audio, "vision": vision}
    for subset in SUBSETS:
        bits = shared + sum(private[name] for name in subset) + synergy * (set(of) <= set(subset))
        assert truth.information(subset) / math.log(2) == pytest.approx(bits, abs=1e-9)
        assert truth.all_bits()["+".join(subset)] == pytest.approx(bits, abs=1e-9)


def bits_seen(config: Planted.Config, split: Split, name: str) -> np.ndarray:
    """Read the bits back from the features, frame by frame, without knowing the label."""
    features = getattr(split, name)
    assert isinstance(features, Features)
    frames = features.values @ rotation(config.seed, name, features.dim).T  # type: ignore[arg-type]
    num_bits = sum(name in part.seen_by for part in Planted(config).truth().parts)
    signs = np.sign(frames[:, :num_bits])
    first = signs[features.offsets[:-1]]
    np.testing.assert_array_equal(signs, np.repeat(first, features.lengths(), axis=0))
    return first > 0


def plug_in_bits(left: np.ndarray, right: np.ndarray) -> float:
    """Mutual information of two discrete samples in bits, by counting, with Miller and Madow's correction."""

    def entropy(rows: np.ndarray) -> float:
        _, counts = np.unique(rows, axis=0, return_counts=True)
        p = counts / counts.sum()
        return float(-(p * np.log2(p)).sum() + (len(p) - 1) / (2 * math.log(2) * counts.sum()))

    return entropy(left) + entropy(right) - entropy(np.column_stack([left, right]))


def test_the_drawn_data_hold_the_information_that_the_truth_states() -> None:
    config = Planted.Config(rows_train=20_000, text_bits=1.0, audio_bits=0.0, vision_bits=0.3, noise=0.9)
    split = Planted(config).open(["train"])["train"]
    truth = Planted(config).truth()
    seen = {name: bits_seen(config, split, name) for name in MODALITIES}
    for subset in SUBSETS:
        measured = plug_in_bits(np.column_stack([seen[name] for name in subset]), split.labels[:, None])
        assert measured == pytest.approx(truth.information(subset) / math.log(2), abs=0.02)


def test_synergy_of_three_is_seen_by_no_pair() -> None:
    only = {f"{name}_bits": 0.0 for name in ("shared", *MODALITIES)}
    truth = Planted(Planted.Config(synergy_bits=0.5, synergy_of=MODALITIES, **only)).truth()
    bits = truth.all_bits()
    assert bits.pop("text+audio+vision") == pytest.approx(0.5)
    assert list(bits.values()) == pytest.approx([0.0] * 6)


def test_all_labels_of_a_configuration_differ_and_keep_to_the_range() -> None:
    for num_bits in range(1, 9):
        bits = {"shared_bits": float(min(num_bits, 4)), "text_bits": float(max(num_bits - 4, 0))}
        config = Planted.Config(rows_train=6000, audio_bits=0.0, vision_bits=0.0, synergy_bits=0.0, **bits)
        labels = np.unique(Planted(config).open(["train"])["train"].labels)
        assert len(labels) == 2**num_bits
        assert np.diff(labels).min() > 1e-4
        assert np.abs(labels).max() == pytest.approx(3.0)


def test_splits_do_not_depend_on_each_other_and_share_no_group() -> None:
    planted = Planted(Planted.Config())
    corpus = planted.open(["train", "valid", "test"])
    assert planted.open(["valid"])["valid"].digest == corpus["valid"].digest
    groups = [set(split.groups.tolist()) for split in corpus.splits.values()]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert Planted(Planted.Config(seed=1)).open(["train"])["train"].digest != corpus["train"].digest


def test_scale_and_form_follow_the_configuration() -> None:
    config = Planted.Config(
        rows_train=50, text_dim=40, text_frames=(2, 4), audio_frames=(1, 1), modalities=("text", "audio")
    )
    split = Planted(config).open(["train"])["train"]
    assert list(split.modalities()) == ["text", "audio"]
    assert len(split) == 50
    assert split.text is not None
    assert split.audio is not None
    assert isinstance(split.text, Features)
    assert split.text.dim == 40
    assert set(split.text.lengths().tolist()) == {2, 3, 4}
    assert set(split.audio.lengths().tolist()) == {1}


def test_a_good_predictor_clearly_beats_a_poor_one() -> None:
    corpus = Planted(Planted.Config()).open(["train", "valid"])

    def design(split: Split, names: tuple[str, ...]) -> np.ndarray:
        parts = [getattr(split, name) for name in names]
        means = [np.add.reduceat(part.values, part.offsets[:-1]) / part.lengths()[:, None] for part in parts]
        return np.column_stack([*means, np.ones(len(split))])

    def error(names: tuple[str, ...]) -> float:
        train, valid = corpus["train"], corpus["valid"]
        weights = np.linalg.lstsq(design(train, names), train.labels, rcond=None)[0]
        return float(np.abs(design(valid, names) @ weights - valid.labels).mean())

    constant = float(np.abs(corpus["valid"].labels - corpus["train"].labels.mean()).mean())
    assert error(("vision",)) < 0.95 * constant
    assert error(("text",)) < 0.85 * constant
    assert error(MODALITIES) < 0.75 * constant


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"shared_bits": 4.0, "text_bits": 4.0, "audio_bits": 1.0}, "1 to 8 bits"),
        ({f"{name}_bits": 0.0 for name in ("shared", "text", "audio", "vision", "synergy")}, "1 to 8 bits"),
        ({"synergy_of": ["text", "text"]}, "two or three modalities"),
        ({"audio_frames": [5, 2]}, "audio_frames"),
        ({"audio_frames": [0, 2]}, "audio_frames"),
        ({"audio_dim": 2}, "audio sees 3 bits"),
        ({"noise": 1.0}, "noise"),
    ],
)
def test_impossible_configurations_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse(Planted.Config, settings, "test")
