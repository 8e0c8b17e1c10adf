"""Writers of pickles that go by videos: GCNet's and Poria's."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS
from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.pickles import mmim_id, word_vectors
from mmsa.data.generated.recordings import Recording

GCNET_HAZARDS: dict[str, Hazard] = {
    "lost_video": Hazard("a video of a split that has no utterances", "have no utterances", stops=True),
    "fewer_sentences": Hazard("a video with fewer sentences than utterances", "utterances of", stops=True),
}


def write_gcnet(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write a folder with ``CMUMOSI_features_raw_2way.pkl`` and features ``egemaps`` and ``faces``."""
    path.mkdir(parents=True, exist_ok=True)
    videos: dict[str, list[Recording]] = {}
    for row in rows:
        videos.setdefault(row.group, []).append(row)
        for name, frames in (("egemaps", row.audio), ("faces", row.vision)):
            folder = path / "features" / f"{name}-UTT"
            folder.mkdir(parents=True, exist_ok=True)
            if len(frames):
                np.save(folder / f"{mmim_id(row)}.npy", frames)
    ids = {video: [mmim_id(row) for row in chosen] for video, chosen in videos.items()}
    labels = {video: [np.float64(row.label) for row in chosen] for video, chosen in videos.items()}
    speakers = {video: [""] * len(chosen) for video, chosen in videos.items()}
    sentences = {video: np.array([row.text for row in chosen]) for video, chosen in videos.items()}
    sets: list[set[str]] = [{row.group for row in rows if row.split == split} for split in SPLITS]
    if "lost_video" in hazards:
        sets[0].add("nobody")
    if "fewer_sentences" in hazards:
        first = rows[0].group
        sentences[first] = sentences[first][:-1]
    content = [ids, labels, speakers, sentences, *sets]
    (path / "CMUMOSI_features_raw_2way.pkl").write_bytes(pickle.dumps(content, 4))


def write_poria(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write a folder with a file for each modality; rows of valid are part of train, as published."""
    path.mkdir(parents=True, exist_ok=True)
    for name, dim in (("text", 300), ("audio", 5), ("video", 20)):
        content: list[Any] = []
        counts: list[list[int]] = []
        for splits in (("train", "valid"), ("test",)):
            features, labels, lengths = _by_video([row for row in rows if row.split in splits], name, dim)
            content += [features, labels]
            counts.append(lengths)
        longest = max(max(lengths) for lengths in counts)
        (path / f"{name}.pickle").write_bytes(pickle.dumps((*content, longest, *counts), 2))


def _by_video(
    rows: Sequence[Recording], name: str, dim: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    videos: dict[str, list[Recording]] = {}
    for row in rows:
        videos.setdefault(row.group, []).append(row)
    longest = max(map(len, videos.values()))
    features, labels = np.zeros((len(videos), longest, dim)), np.zeros((len(videos), longest))
    for video, chosen in enumerate(videos.values()):
        for step, row in enumerate(chosen):
            frames = {"text": word_vectors(row.text), "audio": row.audio, "video": row.vision}[name]
            features[video, step] = frames.mean(axis=0) if len(frames) else 0
            labels[video, step] = row.label >= 0
    return features, labels, [len(chosen) for chosen in videos.values()]
