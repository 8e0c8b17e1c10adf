"""Checkpoints: one file in a folder, replaced whole or not at all, and read without running its content."""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any
from zipfile import BadZipFile

import torch

from mmsa.data.unpickling import DAMAGE
from mmsa.errors import CheckpointError, UnsafePickle, shown
from mmsa.training.checkpoint_outline import check_outline

_FILE = "checkpoint.pt"
_FORMAT = 1

State = dict[str, Any]

UNREADABLE = (
    *DAMAGE,
    AssertionError,
    BadZipFile,
    OSError,
    RuntimeError,
    UnpicklingError,
    UnsafePickle,
    zlib.error,
)
"""Errors that reading or using a checkpoint raises if it is damaged or not one of mmsa."""


def reason_of(error: BaseException) -> str:
    """The first line of an error about a file, cut to fit into a message."""
    return str(error).partition("\n")[0][:300] or type(error).__name__


def write_checkpoint(directory: Path, state: State) -> None:
    """Write ``state`` (tensors, numbers, strings, and lists and mappings of them) into ``directory``.

    The folder appears with its first complete checkpoint. A crash or a full disk at any moment leaves the
    previous checkpoint, or no folder.

    Raises:
        OSError: if it cannot be written, on a full disk for example.
    """
    partial = directory.with_name(f".{directory.name}.partial")  # one name, so that leftovers do not pile up
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with (partial / _FILE).open("wb") as stream:
            _save({"format": _FORMAT, **state}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        if directory.exists():
            (partial / _FILE).replace(directory / _FILE)
            _sync(directory)
        else:
            _sync(partial)
            partial.replace(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync(directory.parent)


def _save(state: State, stream: IO[bytes]) -> None:
    try:
        torch.save(state, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # torch complains about the half file instead
            raise error.__context__ from None
        raise


def _sync(directory: Path) -> None:
    """Make the names in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoint(directory: Path, expected: State) -> State:
    """Read the state in ``directory``, with its tensors on the CPU.

    Args:
        directory: written by ``write_checkpoint``.
        expected: entries that the state must have, such as the configuration it belongs to.

    Raises:
        CheckpointError: for a folder without a checkpoint, with a damaged one, or with that of another run.
    """
    file = directory / _FILE
    if not file.is_file():
        raise CheckpointError(f"{directory} holds no {_FILE}; start the run without resuming")
    try:
        check_outline(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        found = state.get("format") if isinstance(state, dict) else None
        known = isinstance(found, int) and found == _FORMAT
        differences = (
            [line for key in expected for line in _differences(key, state.get(key), expected[key])]
            if known
            else []
        )
    except UNREADABLE as error:
        raise CheckpointError(
            f"{file} is damaged, or is no checkpoint of mmsa ({reason_of(error)}); "
            f"delete {directory} and start the run anew"
        ) from None
    if not known:
        raise CheckpointError(
            f"{file} was not written by this version of mmsa; delete {directory} and start the run anew"
        )
    if differences:
        raise CheckpointError(
            f"{directory} belongs to another run; delete it, or resume with what it was written for:\n"
            + "\n".join(differences)
        )
    checked: State = state
    return checked


def _differences(path: str, found: object, expected: object) -> list[str]:
    """A line for each place where two nested mappings differ, with its dotted path."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = sorted({*found, *expected}, key=str)
        return [
            line for key in keys for line in _differences(f"{path}.{key}", found.get(key), expected.get(key))
        ]
    if type(found) is type(expected) and found == expected:
        return []
    return [f"  {path}: {shown(found)} in the checkpoint, {shown(expected)} here"]
