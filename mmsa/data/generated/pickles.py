"""Writers of the pickles of utterances: MMSA, MISA, MMIM, MAG-BERT, MulT, MultiBench."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SplitName
from mmsa.data.generated.recordings import Recording, of_split

_WORD_VECTOR = 300  # as GloVe's
_DEV: dict[SplitName, str] = {"train": "train", "valid": "dev", "test": "test"}


def write_mmsa(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write a file as ``unaligned_50.pkl``; with ``train_mix``, CH-SIMS v2's further split is in it."""
    content: dict[str, Any] = {split: _mmsa_table(chosen) for split, chosen in of_split(rows).items()}
    if "train_mix" in hazards:
        content["train_mix"] = {**content["train"], "mask": np.ones(len(content["train"]["id"]))}
    _dump(path, content)


def _mmsa_table(rows: Sequence[Recording]) -> dict[str, Any]:
    labels_N = np.array([row.label for row in rows], np.float32)
    signs_N = np.sign(labels_N).astype(int)
    return {
        "id": np.array([row.id for row in rows]),
        "raw_text": np.array([row.text for row in rows]),
        "audio": _padded([row.audio for row in rows]),
        "audio_lengths": [len(row.audio) for row in rows],
        "vision": _padded([row.vision for row in rows]),
        "vision_lengths": [len(row.vision) for row in rows],
        "annotations": np.array(["Negative", "Neutral", "Positive"])[signs_N + 1],
        "classification_labels": signs_N + 1,
        "regression_labels": labels_N,
    }


def write_misa(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write the folder of MISA's train.pkl, dev.pkl and test.pkl; ids are ``video[k]``."""
    _write_misa(path, rows, lambda label: np.array([[label]], np.float32))


def _write_misa(
    path: Path, rows: Sequence[Recording], labels: Callable[[float], NDArray[np.float32]]
) -> None:
    path.mkdir(parents=True, exist_ok=True)
    numbers = {
        word: number + 2 for number, word in enumerate(sorted({w for r in rows for w in r.text.split()}))
    }
    for split, chosen in of_split(rows).items():
        content = []
        for row in chosen:
            words = row.text.split()
            ids_T = np.array([numbers[word] for word in words], np.int64)
            content.append(((ids_T, row.vision, row.audio, words), labels(row.label), misa_id(row)))
        _dump(path / f"{_DEV[split]}.pkl", content, 3)


def misa_id(row: Recording) -> str:
    """The id of a row in MISA's files."""
    return f"{row.group}[{row.id.rpartition('$_$')[2]}]"


def write_misa_mosei(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write the same folder with the seven labels of CMU-MOSEI, and 35 columns of vision."""
    _write_misa(path, rows, _seven)


def _seven(label: float) -> NDArray[np.float32]:
    """(1, 7) sentiment, and six emotions: happy follows it, sad and anger follow its opposite."""
    return np.array(
        [[label, max(label, 0), max(-label, 0), max(-label - 1, 0), 0, max(-label - 2, 0), 0]], np.float32
    )


def write_mmim(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write the folder of MMIM's train.pkl, dev.pkl and test.pkl; ids are ``video_clip``.

    With ``zero_frame``, a frame of zeros within a row was not counted.
    """
    path.mkdir(parents=True, exist_ok=True)
    for split, chosen in of_split(rows).items():
        content = []
        for row in chosen:
            if "zero_frame" in hazards and len(row.audio) > 1:
                row.audio[1] = 0.0
            lengths = [int((frames != 0).any(axis=1).sum()) for frames in (row.vision, row.audio)]
            inner = ([], row.vision, row.audio, row.text.split(), *lengths)
            content.append((inner, np.array([[row.label]], np.float32), mmim_id(row)))
        _dump(path / f"{_DEV[split]}.pkl", content)


def mmim_id(row: Recording) -> str:
    """The id of a row in MMIM's files."""
    return row.id.replace("$_$", "_")


def write_mag_bert(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write a file as MAG-BERT's ``mosi.pkl``."""
    content = {
        _DEV[split]: [
            ((row.text.split(), row.vision, row.audio), np.array([[row.label]], np.float32), misa_id(row))
            for row in chosen
        ]
        for split, chosen in of_split(rows).items()
    }
    _dump(path, content)


def write_mult(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write a file as MulT's ``mosi_data.pkl``: padded on the left, ids of bytes.

    With ``zero_text``, the word vectors of a row are all zeros.
    """
    _dump(path, _mult_tables(rows, hazards), 2)


def _mult_tables(rows: Sequence[Recording], hazards: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """What MulT's file holds of each split."""
    content: dict[str, dict[str, Any]] = {}
    for split, chosen in of_split(rows).items():
        steps = max(len(row.text.split()) for row in chosen)
        text_NTD = _padded([word_vectors(row.text) for row in chosen], steps, left=True)
        if "zero_text" in hazards:
            text_NTD[0] = 0.0
        content[split] = {
            "text": text_NTD,
            "audio": _padded([row.audio for row in chosen], left=True),
            "vision": _padded([row.vision for row in chosen], left=True),
            "labels": np.array([row.label for row in chosen], np.float32)[:, None, None],
            "id": np.array([[mmim_id(row).encode()] for row in chosen]),
        }
    return content


def write_iemocap(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write a file as MulT's ``iemocap_data.pkl``: four pairs for labels, and no ids."""
    content = _mult_tables(rows)
    for table in content.values():
        del table["id"]
        labels_N = table["labels"].reshape(-1)
        there_N4 = np.stack([abs(labels_N) < 0.5, labels_N > 0.5, labels_N < -0.5, labels_N < -1.5], axis=1)
        table["labels"] = np.stack([~there_N4, there_N4], axis=2).astype(np.int64)
    _dump(path, content, 2)


def write_multibench(path: Path, rows: Sequence[Recording], hazards: Collection[str] = ()) -> None:
    """Write a file as MultiBench's ``sarcasm.pkl``: two classes for labels, ids of strings."""
    content = _mult_tables(rows, hazards)
    for split, chosen in of_split(rows).items():
        content[split]["labels"] = np.array([[row.label > 0] for row in chosen], np.int64)
        content[split]["id"] = np.array([mmim_id(row) for row in chosen])
    _dump(path, content)


def word_vectors(text: str) -> NDArray[np.float32]:
    """(T, 300) made-up vectors, each the same for the same word."""
    vectors = [
        np.random.default_rng(zlib.crc32(word.encode())).standard_normal(_WORD_VECTOR)
        for word in text.split()
    ]
    return np.array(vectors, np.float32).reshape(-1, _WORD_VECTOR)


def _padded(
    rows: Sequence[NDArray[np.float32]], steps: int | None = None, left: bool = False
) -> NDArray[np.float32]:
    steps = max(1, max(map(len, rows))) if steps is None else steps
    pads = [(steps - len(row), 0) if left else (0, steps - len(row)) for row in rows]
    return np.stack([np.pad(row, [pad, (0, 0)]) for row, pad in zip(rows, pads, strict=True)])


def _dump(path: Path, content: Any, protocol: int = 4) -> None:
    path.write_bytes(pickle.dumps(content, protocol))
