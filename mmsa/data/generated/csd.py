"""Writer of CMU-MultimodalSDK's files, aligned to labels: a csd file for each kind of content."""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS
from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.recordings import Recording
from mmsa.data.readers.csd import FOLDS
from mmsa.data.readers.hdf5 import INSTALL
from mmsa.errors import DataError

CSD_HAZARDS: dict[str, Hazard] = {
    "lost_key": Hazard("a segment that a file has nothing of", "rows have no vision"),
    "video_in_no_fold": Hazard("a video that no list of folds has", "videos are in no fold"),
    "link": Hazard("features that lie in another file", "is a link", stops=True),
    "two_of_a_kind": Hazard("two files of vision", "vision may be any of", stops=True),
}
_ROOTS = {
    "CMU_MOSI_TimestampedWords": "text",
    "CMU_MOSI_COVAREP": "audio",
    "CMU_MOSI_VisualFacet_4.1": "vision",
    "CMU_MOSI_Opinion_Labels": "label",
}


def csd_id(row: Recording) -> str:
    """``video[k]``, with k counted from 0."""
    video, number = row.id.split("$_$")
    return f"{video}[{number}]"


def write_csd(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write the folder, and ``folds.json``.

    Raises:
        DataError: where h5py is not installed.
    """
    path.mkdir(parents=True, exist_ok=True)
    for root, what in _ROOTS.items():
        kept = rows[1:] if "lost_key" in hazards and what == "vision" else rows
        write_sequence(path / f"{root}.csd", root, {csd_id(row): _content(row, what) for row in kept})
    if "two_of_a_kind" in hazards:
        other = "CMU_MOSI_VisualOpenFace2"
        write_sequence(path / f"{other}.csd", other, {csd_id(row): _content(row, "vision") for row in rows})
    if "link" in hazards:
        _link(path / "CMU_MOSI_COVAREP.csd", "CMU_MOSI_COVAREP", csd_id(rows[0]))
    folds = {split: sorted({row.group for row in rows if row.split == split}) for split in SPLITS}
    if "video_in_no_fold" in hazards:
        folds["train"] = folds["train"][1:]
    (path / FOLDS).write_text(json.dumps(folds))


def write_sequence(
    path: Path, root: str, entries: Mapping[str, tuple[NDArray[Any], NDArray[np.float64]]]
) -> None:
    """Write one csd file: features (n, d) and intervals (n, 2) by key.

    Raises:
        DataError: where h5py is not installed.
    """
    with _hdf5().File(path, "w") as file:
        for key, (features, intervals) in entries.items():
            group = file.create_group(f"{root}/data/{key}")
            group.create_dataset("features", data=features, compression="gzip" if len(features) else None)
            group.create_dataset("intervals", data=intervals)
        file.create_dataset(f"{root}/metadata/root name", data=[json.dumps(root).encode()])


def _content(row: Recording, what: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    if what == "label":
        return np.array([[row.label]], np.float32), np.array([[0.0, 1.0]])
    if what == "text":
        words = np.array([[word.encode()] for word in ["sp", *row.text.split()]])
        return words, _spans(len(words))
    frames: NDArray[Any] = getattr(row, what)
    return frames, _spans(len(frames))


def _spans(count: int) -> NDArray[np.float64]:
    edges = np.linspace(0, 1, count + 1)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _link(path: Path, root: str, key: str) -> None:
    h5py = _hdf5()
    with h5py.File(path, "a") as file:
        del file[f"{root}/data/{key}/features"]
        file[f"{root}/data/{key}/features"] = h5py.ExternalLink("elsewhere.h5", "/features")


def _hdf5() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError:
        raise DataError(f"HDF5 files are written by h5py, which is not installed: {INSTALL}") from None
