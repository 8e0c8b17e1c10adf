from __future__ import annotations

import json

import numpy as np
import pytest

from mmsa.data.corpus import Corpus, Features, Modality, Split, Strings, Tokens
from mmsa.data.inputs import FeatureInput, InputSpec, TextInput
from mmsa.errors import DataError


def corpus(text: Modality | None, audio: Features | None = None, valid_scale: float = 1.0) -> Corpus:
    def split(scale: float) -> Split:
        scaled = None if audio is None else Features(audio.values * np.float32(scale), audio.offsets)
        names = np.array(["a", "b"])
        return Split(names, names, np.zeros(2, np.float32), text=text, audio=scaled)

    return Corpus("test", (-3.0, 3.0), {"train": split(1.0), "valid": split(valid_scale)})


def ragged(values: np.ndarray) -> Features:
    return Features(values.astype(np.float32), np.array([0, 1, len(values)]))


def test_statistics_are_those_of_train_alone() -> None:
    values = np.random.default_rng(0).normal([5.0, -2.0], [3.0, 1e-4], (1000, 2))
    spec = InputSpec.of(corpus(None, ragged(values), valid_scale=100.0))
    assert spec.audio is not None
    assert spec.audio.dim == 2
    np.testing.assert_allclose(spec.audio.mean, values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(spec.audio.scale, values.std(0), rtol=1e-2)


def test_many_frames_far_from_zero_lose_no_precision() -> None:
    values = np.random.default_rng(0).normal(1e3, 1.0, (200_000, 1)).astype(np.float32)
    audio = FeatureInput.of(ragged(values))
    np.testing.assert_allclose(audio.mean, values.mean(0, dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(audio.scale, values.std(0, dtype=np.float64), rtol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 7.1, -1e6])
def test_a_constant_column_is_centred_and_not_scaled(constant: float) -> None:
    audio = FeatureInput.of(ragged(np.full((1001, 1), constant)))
    assert audio.scale.tolist() == [1.0]
    assert audio.mean.tolist() == [np.float32(constant)]


def test_a_column_that_only_rounding_moves_is_not_scaled() -> None:
    values = np.array([[7.1], [np.nextafter(np.float32(7.1), np.float32(8))]], np.float32)
    assert FeatureInput.of(ragged(values)).scale.tolist() == [1.0]


def test_a_column_of_small_numbers_is_scaled() -> None:
    audio = FeatureInput.of(ragged(np.array([[1e-9], [-1e-9], [1e-9], [-1e-9]])))
    np.testing.assert_allclose(audio.scale, [1e-9], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (Strings(np.array(["a b", "c"])), TextInput("strings")),
        (Tokens(np.arange(3), np.array([0, 1, 3])), TextInput("tokens")),
        (None, None),
    ],
)
def test_survives_json(text: Modality | None, expected: TextInput | None) -> None:
    values = np.random.default_rng(1).standard_normal((7, 3))
    spec = InputSpec.of(corpus(text, ragged(values)))
    assert spec.text == expected
    assert spec.vision is None
    restored = InputSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert restored == spec
    assert hash(restored) == hash(spec)


def test_features_may_be_text() -> None:
    spec = InputSpec.of(corpus(ragged(np.eye(3)), ragged(2 * np.eye(3))))
    assert isinstance(spec.text, FeatureInput)
    assert spec.text != spec.audio
    assert InputSpec.from_dict(spec.to_dict()) == spec
    assert list(spec.modalities()) == ["text", "audio"]


def test_a_modality_without_a_single_frame_is_refused() -> None:
    empty = Features(np.empty((0, 3), np.float32), np.zeros(3, np.int64))
    with pytest.raises(DataError, match=r"no row of train has any audio; leave audio out"):
        InputSpec.of(corpus(Strings(np.array(["a", "b"])), empty))
