"""Checkpoints: one file in a folder, replaced whole or not at all, read without running what it holds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import torch

from mmsa.errors import CheckpointError

_FILE = "checkpoint.pt"
_FORMAT = 1

State = dict[str, Any]

_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, BadZipFile, UnpicklingError)


def write_checkpoint(directory: Path, state: State) -> None:
    """Put ``state`` (tensors, numbers, strings, and lists and mappings of them) into ``directory``.

    The folder appears with its first complete checkpoint in it; a crash or a full disk at any moment leaves
    the previous state of the folder, or none.

    Raises:
        OSError: where it cannot be written, on a full disk for example.
    """
    partial = directory.with_name(
        f".{directory.name}.partial"
    )  # always the same, so that leftovers do not pile up
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
        if isinstance(error.__context__, OSError):  # torch complains of the half file instead
            raise error.__context__ from None
        raise


def _sync(directory: Path) -> None:
    """Make names in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoint(directory: Path, expected: State) -> State:
    """The state in ``directory``, its tensors on the CPU.

    Args:
        expected: what the state must say of itself, such as the configuration it belongs to.

    Raises:
        CheckpointError: for a folder without a checkpoint, a damaged one, or one of another run.
    """
    file = directory / _FILE
    if not file.is_file():
        raise CheckpointError(f"{directory} holds no {_FILE}; start the run without resuming")
    try:
        _check_sums(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{file} is damaged, or is no checkpoint of mmsa ({reason}); "
            f"delete {directory} and start the run anew"
        ) from None
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise CheckpointError(
            f"{file} was not written by this version of mmsa; delete {directory} and start the run anew"
        )
    differences = [line for key in expected for line in _differences(key, state.get(key), expected[key])]
    if differences:
        raise CheckpointError(
            f"{directory} belongs to another run; delete it, or resume with what it was written for:\n"
            + "\n".join(differences)
        )
    return state


def _check_sums(file: Path) -> None:
    """Compare all parts of ``file`` with their checksums, which ``torch.load`` does not look at."""
    with ZipFile(file) as parts:
        damaged = parts.testzip()
    if damaged is not None:
        raise BadZipFile(f"{damaged} has a wrong checksum")


def _differences(path: str, found: object, expected: object) -> list[str]:
    """One line for each place where two nested mappings differ, with its dotted path."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = sorted({*found, *expected})
        return [
            line for key in keys for line in _differences(f"{path}.{key}", found.get(key), expected.get(key))
        ]
    return [] if found == expected else [f"  {path}: {found!r} in the checkpoint, {expected!r} here"]
