"""Checking what a checkpoint holds before torch builds any of it.

``torch.load`` runs no code of a file, but it trusts sizes, hashes keys of any depth, and makes as many
objects as the file asks for. So the pickle is first interpreted by the machine that reads data files, with
placeholders for tensors, and the sizes of tensors are compared with the bytes that are there.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from mmsa.data.budget import check_nesting
from mmsa.data.pickled_globals import new_dict
from mmsa.data.unpickling import Machine
from mmsa.errors import UnsafePickle, shown

_ITEM_BYTES = {
    **dict.fromkeys(("BoolStorage", "ByteStorage", "CharStorage"), 1),
    **dict.fromkeys(("ShortStorage", "HalfStorage", "BFloat16Storage"), 2),
    **dict.fromkeys(("IntStorage", "FloatStorage"), 4),
    **dict.fromkeys(("LongStorage", "DoubleStorage"), 8),
}
_MAPPINGS = {("collections", "OrderedDict"), ("collections", "Counter")}
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_EXPANSION = 64  # how often an expanded tensor may repeat the numbers of its storage
_MAX_AXES = 64


class _Name:
    """A global that the pickle names."""

    def __init__(self, module: str, name: str):
        self.path = (module, name)


class _Storage:
    """The numbers in a part of the file."""

    def __init__(self, count: int):
        self.count = count


class _Outline(Machine):
    """Interprets the pickle of a checkpoint, with ``None`` for each tensor."""

    def __init__(self, pickle: mmap.mmap, sizes: Mapping[str, int]):
        super().__init__(pickle)
        self._sizes = sizes

    def find(self, module: str, name: str) -> Any:
        known = (module, name) in {*_MAPPINGS, _TENSOR} or (module == "torch" and name in _ITEM_BYTES)
        if not known:
            raise UnsafePickle(f"asks for {shown(f'{module}.{name}')}, which no checkpoint of mmsa holds")
        return _Name(module, name)

    def call(self, constructor: Any, arguments: tuple[Any, ...]) -> Any:
        path = constructor.path if isinstance(constructor, _Name) else None
        if path == _TENSOR:
            return _check_tensor(*arguments)
        if path not in _MAPPINGS:
            raise UnsafePickle(f"calls {shown(constructor)}")
        if arguments and isinstance(arguments[0], dict):
            return dict(arguments[0])
        return new_dict(*arguments)

    def build(self, target: Any, state: Any) -> Any:
        if not isinstance(target, dict) or not isinstance(state, dict):
            raise UnsafePickle(f"sets the state of a {type(target).__name__}")
        return target  # the attributes of an OrderedDict

    def refer(self, identity: Any) -> Any:
        if not isinstance(identity, tuple) or len(identity) != 5:
            raise ValueError(f"refers to {shown(identity)}")
        _, kind, key, _, count = identity
        item_bytes = _ITEM_BYTES.get(kind.path[1]) if isinstance(kind, _Name) else None
        if item_bytes is None or not isinstance(key, str) or not isinstance(count, int):
            raise ValueError(f"refers to {shown(identity)}")
        if self._sizes.get(key) != count * item_bytes:
            raise ValueError(f"{count} numbers are not what part {shown(key)} holds")
        return _Storage(count)


def _check_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> None:
    counts = (
        (offset, *shape, *strides) if isinstance(shape, tuple) and isinstance(strides, tuple) else (None,)
    )
    if (
        not isinstance(storage, _Storage)
        or len(counts) > 1 + 2 * _MAX_AXES
        or len(shape) != len(strides)
        or not all(isinstance(count, int) and 0 <= count < 2**63 for count in counts)
    ):
        raise ValueError(f"a tensor of shape {shown(shape)} and strides {shown(strides)}")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and (last >= storage.count or math.prod(shape) > _EXPANSION * storage.count):
        raise ValueError(f"a tensor of shape {shown(shape)} in {storage.count} numbers")


def check_outline(file: Path) -> None:
    """Refuse a checkpoint that ``torch.load`` might not survive, or whose parts have wrong checksums.

    Raises:
        UnsafePickle: if it names anything but tensors and mappings.
        BadZipFile, ValueError: if it is damaged, or would grow out of proportion. Other kinds of damage raise
            the errors of ``zipfile`` and ``mmsa.data.unpickling.DAMAGE``.
    """
    with file.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":  # torch would take it for one of its older formats
            raise BadZipFile("it is not a zip file")
    with ZipFile(file) as parts:
        entries = parts.infolist()
        if len({entry.filename.lower() for entry in entries}) != len(entries):
            raise BadZipFile("parts have the same name")
        if any(entry.compress_type != ZIP_STORED for entry in entries):
            raise BadZipFile("parts are compressed")
        if (damaged := parts.testzip()) is not None:
            raise BadZipFile(f"{shown(damaged)} has a wrong checksum")
        folder = entries[0].filename.partition("/")[0]
        content = parts.read(f"{folder}/data.pkl")
    prefix = f"{folder}/data/"
    sizes = {
        entry.filename.removeprefix(prefix): entry.file_size
        for entry in entries
        if entry.filename.startswith(prefix)
    }
    pickle = mmap.mmap(-1, len(content))
    pickle.write(content)
    pickle.seek(0)
    check_nesting(_Outline(pickle, sizes).run(), len(content))
