"""Where a decomposition of a study's data set comes from, and the planted data that it is held against."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from mmsa.data.corpus import SplitName
from mmsa.errors import StudyError
from mmsa.information.target import Decomposition
from mmsa.information.target.decomposition import as_measurements
from mmsa.measurement import ABSENT, Measurement
from mmsa.models.text_input import encode_text
from mmsa.reports.composition import DECOMPOSED, decompose_features, spoken_kind
from mmsa.reports.study_data import open_as_searched
from mmsa.results.test_information import INFORMATION
from mmsa.search.study.view import StudyView

MEASURED = "composition.json"
"""The file in a study's folder with the decomposition of its features."""


@dataclass(frozen=True)
class Composition:
    """A decomposition, and of what it is.

    Attributes:
        origin: in words.
        measured: by name, in nats.
        rows: that were measured.
        groups: of these.
        decomposition: the whole record; None where a trial kept the measurements alone.
        of_features: whether it is of the data's own features. What networks made of them names no kind
            (``benchmarks/headline``).
    """

    origin: str
    measured: Mapping[str, Measurement]
    rows: int
    groups: int
    decomposition: Decomposition | None = None
    of_features: bool = False

    @property
    def kind(self) -> str:
        """The kind that is named of the data, in words."""
        if self.decomposition is None or not self.of_features:
            return "undecided (only features name a kind)"
        return spoken_kind(self.decomposition)


def decomposition_of(study: StudyView, runs: Path) -> Composition | None:
    """The decomposition that a study has; None without one.

    The first that there is: of the data's own features, of a finalist's vectors on valid, of a retrained
    model's vectors on test.

    Raises:
        StudyError: for a file that is damaged.
    """
    return next(_sources(study, runs), None)


def _sources(study: StudyView, runs: Path) -> Iterator[Composition]:
    known = runs / study.name / MEASURED
    if is_measured(study, runs):
        split = json.loads(known.read_text(encoding="utf-8"))["split"]
        whole = _read(known)
        if whole is not None:
            yield _whole(f"features of {split}", whole, of_features=True)
    for trial in [*study.completed("finalist"), *study.completed("search")]:
        measured = {name: m for name, m in trial.information.items() if name.startswith(DECOMPOSED)}
        first = next(iter(measured.values()), None)
        if first is not None and first.status not in ABSENT:
            yield Composition(
                f"vectors of trial {trial.number} on valid", measured, first.num_samples, first.num_groups
            )
    for path in sorted((runs / "retrained").glob(f"{study.name}-*/{INFORMATION}")):
        if len(path.parent.name) == len(study.name) + 13:  # a dash and twelve letters: no other study's name
            found = _read(path)
            if found is not None:
                yield _whole("vectors of the retrained model on test", found)


def _whole(origin: str, found: Decomposition, of_features: bool = False) -> Composition:
    return Composition(
        origin, as_measurements(found), found.num_samples, found.num_groups, found, of_features
    )


def _read(path: Path) -> Decomposition | None:
    """The decomposition in a file; None where none was made, as of several labels at once."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))["decomposition"]
        return None if content is None else Decomposition.from_dict(content)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StudyError:
    return StudyError(
        f"{path} holds no decomposition that mmsa can read ({type(error).__name__}: {error}); remove it, and "
        "measure again with --measure"
    )


def is_measured(study: StudyView, runs: Path, split: SplitName | None = None) -> bool:
    """Whether the features of the study's data have been decomposed, those of ``split`` if one is given."""
    path = runs / study.name / MEASURED
    if not path.exists():
        return False
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        is_of_data = known["corpus_digest"] == study.attributes.get("corpus_digest")
        return bool(is_of_data and split in (None, known["split"]))
    except (ValueError, LookupError, TypeError) as error:
        raise _damaged(path, error) from error


def measure_composition(study: StudyView, runs: Path, split: SplitName) -> None:
    """Decompose the features of a split of the study's data, and keep the result in its folder.

    Features are often learnt with the labels of train, and then say more of them than they know, as vision
    does in a file of MOSI: valid is the split to ask. Test stays closed.

    Raises:
        DataError: where the data are missing, are others than the study saw, or have no features.
    """
    base, digest = study.config.base, study.attributes.get("corpus_digest")
    raw = open_as_searched(study.name, base.data, digest)
    found = decompose_features(encode_text(raw, base.model, runs / "cache")[split], raw.target.kind)
    content = {"corpus_digest": digest, "split": split, "decomposition": found.to_dict()}
    path = runs / study.name / MEASURED
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


@cache
def _calibration() -> Mapping[int, Mapping[str, tuple[float, float]]]:
    text = (files("mmsa.reports") / "calibration.json").read_text(encoding="utf-8")
    return {
        int(rows): {part: (ends[0], ends[1]) for part, ends in parts.items()}
        for rows, parts in json.loads(text).items()
    }


def ghosts_for(rows: int) -> tuple[Mapping[str, tuple[float, float]], str]:
    """What a decomposition reads of planted data whose size is nearest, and which data these are.

    Written by ``benchmarks/across.py``: half a bit of each kind, in 16 features for each modality.
    """
    known = _calibration()
    if not known:
        return {}, ""
    size = min(known, key=lambda size: abs(size - rows) / (size + rows))
    return known[size], f"{size} rows (benchmarks/across.py)"
