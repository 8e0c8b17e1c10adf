"""What layout a file or a folder has, by its first bytes and its names; nothing of it is parsed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from mmsa.data.readers.base import CONVERT, TABLES, split_of
from mmsa.data.store import is_store
from mmsa.data.unpickling import DAMAGE
from mmsa.data.validation import first_few
from mmsa.errors import DataError

_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "gcnet": ("*.pkl", "features/*-UTT"),
    "meld": ("*_sent_emo.csv",),
    "mintrec": ("train.tsv", "*.tsv"),
    "urfunny": ("data_folds.pkl", "humor_label_sdk.pkl"),
    "edaic": ("*_P/features",),
    "eatd": ("t_*/positive.txt",),
    "dvlog": ("labels.csv", "*/*_acoustic.npy"),
    "csd": ("*.csd",),
    "cmdc": ("HC*/Q*.txt", "MDD*/Q*.txt"),
    "mpdd": ("Training/labels/*.json",),
    "mustard": ("**/sarcasm_data.json",),
    "crema_d": ("**/summaryTable.csv",),
    "lmvd": ("labels.csv", "audio/*.npy", "visual/*_visual.npy"),
    "daic": ("*_P/*_[TC][RO][AV][NA]*",),  # a transcript, or COVAREP
}
"""What a folder of a layout has, as patterns; the first layout whose patterns are all met is taken."""
_PICKLES = (".pkl", ".pickle", ".p")
_FILES = (".npz", *_PICKLES)
"""Endings of files that hold a data set of their own."""


def recognise(path: Path) -> tuple[str, Path]:
    """The layout of a file or folder, and what its reader is to open: of a folder with one file, that file.

    Raises:
        DataError: for what is none of the layouts, saying what it is as far as that shows.
    """
    return (_layout_of_file(path), path) if not path.is_dir() else _recognise_folder(path)


def layout_of_folder(folder: Path) -> str:
    """The layout whose names stand in a folder; empty for a store, and where files must be opened to tell."""
    for layout, patterns in _FOLDERS.items():
        if all(next(folder.glob(pattern), None) is not None for pattern in patterns):
            return layout
    return ""


def deeper_layout(folder: Path) -> str:
    """Advice for a folder that only has the folder of a data set in it, as archives do; empty without one."""
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and (layout := layout_of_folder(entry)):
            return f"{entry.name} in it is one of the layout {layout}: name that in data.path"
    return ""


def _recognise_folder(folder: Path) -> tuple[str, Path]:
    if is_store(folder):
        return "store", folder
    if layout := layout_of_folder(folder):
        return layout, folder
    entries = sorted(folder.iterdir())
    if any(entry.suffix in _PICKLES and split_of(entry.stem) for entry in entries):
        return "pickle", folder
    files = [entry for entry in entries if entry.suffix in _FILES and entry.is_file()]
    if len(files) == 1:
        return _layout_of_file(files[0]), files[0]
    inside = first_few(entry.name for entry in entries) or "nothing"
    deeper = deeper_layout(folder)
    files = files or [entry for entry in entries if entry.suffix in TABLES and entry.is_file()]
    choice = f"name one of {first_few(file.name for file in files)} in data.path" if files else CONVERT
    if files and all(file.suffix in _PICKLES for file in files):
        choice += ", or say what they are together with data.layout"
    choice = deeper or choice
    raise DataError(f"{folder}: is a folder of no layout that mmsa knows, of {inside}; {choice}")


def _layout_of_file(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK"):
        if _holds_arrays(path):
            return "npz"
        raise DataError(f"{path}: is a zip file without npy arrays (torch, Excel). {CONVERT}")
    if start.startswith(b"\x80"):  # PROTO, the first opcode of every pickle since protocol 2
        return "pickle"
    found = next((what for magic, what in _OTHERS.items() if start.startswith(magic)), "")
    if not found and path.suffix.lower() in _TEXTS:
        found = f"a text file ({path.suffix})"
    if found:
        raise DataError(f"{path}: is {found}, which is not read. {CONVERT}")
    if not start:
        raise DataError(f"{path}: is empty")
    raise DataError(
        f"{path}: begins with {start[:2]!r}, neither as an npz file nor as a pickle. {CONVERT} "
        "(A pickle of protocol 0 or 1 begins so too: set data.layout: mmsa for one.)"
    )


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (*DAMAGE, OSError, RuntimeError, zipfile.BadZipFile):
        return True  # the reader says what is wrong with it


_OTHERS = {
    b"\x89HDF": "an HDF5 file (h5, hdf5, mat of version 7.3; of csd files name the folder)",
    b"\x93NUMPY": "a single npy array",
    b"\x1f\x8b": "packed with gzip",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"MATLAB 5.0": "a mat file",
    b"RIFF": "a recording",
    b"SQLite format 3": "an SQLite database",
    b"version https://": "a pointer of Git LFS and not the file itself (git lfs pull fetches it)",
}
_TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".arff")
