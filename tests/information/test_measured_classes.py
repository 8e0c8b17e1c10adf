"""Information about classes is told by cross-fitted predictions, never by the ranks of their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from mmsa.information.measure_panel import measure_panel

ROWS, CLASSES = 240, 4


def classes_and_sources(seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Text knows the class, whose number is no monotone function of it; audio knows nothing."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, CLASSES, ROWS)
    text = np.eye(CLASSES)[ids] * 4 + rng.normal(size=(ROWS, CLASSES))
    audio = rng.normal(size=(ROWS, 2))
    return ids, {"text": text, "audio": audio, "fusion": text + 0.1 * rng.normal(size=text.shape)}


@pytest.mark.slow
def test_what_a_modality_says_about_classes_is_found() -> None:
    ids, sources = classes_and_sources()
    found = measure_panel(sources, ids, np.arange(ROWS), ("target", "fusion"), kind="multiclass")
    # The most wanted first, as a summary shows them, although it is measured last.
    assert list(found) == [
        *("target/fusion", "target/text", "target/audio"),
        *("fusion/text", "fusion/audio"),
    ]
    text, audio = found["target/text"], found["target/audio"]
    assert text.value is not None
    assert text.value > 0.6 * np.log(CLASSES)
    assert text.status == "ok"
    assert audio.status == "below_null"


def test_quantities_given_classes_and_of_several_labels_are_left_out() -> None:
    ids, sources = classes_and_sources()
    families = ("invariant", "conditional", "mimrl", "target")
    labels = np.eye(CLASSES)[ids].astype(np.float32)
    found = measure_panel(sources, labels, np.arange(ROWS), families, kind="multilabel")
    assert list(found) == ["invariant/text-audio"]
    of_classes = measure_panel(sources, ids, np.arange(ROWS), families[:3], kind="multiclass")
    assert not [name for name in of_classes if "target" in name or name.startswith("mimrl")]


def test_a_class_of_few_rows_is_told_and_not_measured() -> None:
    ids, sources = classes_and_sources()
    ids[ids == 3] = 0
    ids[:3] = 3
    found = measure_panel(sources, ids, np.arange(ROWS), ("target",), kind="multiclass")
    assert {measured.status for measured in found.values()} == {"too_few"}
