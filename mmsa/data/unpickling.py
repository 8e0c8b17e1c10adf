"""Reading pickles that nobody vouches for: numpy arrays, containers, strings and numbers, and nothing else.

``load`` is a pickle machine of its own. It calls nothing of ``pickle``, imports no name of the file, and
calls only the few functions that stand in for numpy's constructors. Every opcode and every global is either
interpreted or refused. Protocols 0 to 5, with the latin1 strings of Python 2.

The file is mapped, not read: arrays are read-only views of it, so the pages of an array that nobody looks at
are never brought into memory.
"""

from __future__ import annotations

import mmap
import pickletools
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmsa.data.pickled_globals import (
    CONSTRUCTORS,
    ArrayDescription,
    DTypeDescription,
    find,
    new_dict,
    new_set,
)
from mmsa.errors import DataError, UnsafePickle

_SHORT = 1024  # a byte string longer than this is the content of an array, and comes as a view of the file


def load(path: Path) -> Any:
    """The content of a file that holds one pickle.

    Arrays are read-only and refer to the mapped file. ``defaultdict`` and ``OrderedDict`` come as ``dict``.

    Raises:
        UnsafePickle: when the file asks for anything outside the allow-list; nothing of it was run.
        DataError: for a file that is missing, damaged, or holds more than one pickle.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    try:
        content = _Machine(mapped).run()
    except UnsafePickle as error:
        raise UnsafePickle(f"{path}: {error}") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: is not a pickle, or is damaged: {error}; fetch it again") from error
    if mapped.tell() != len(mapped):
        rest = len(mapped) - mapped.tell()
        raise DataError(
            f"{path}: {rest} bytes follow the pickle; files of several pickles, such as those of torch.save, "
            "are not read; save the content as one pickle of numpy arrays"
        )
    return content


_DAMAGE = (ValueError, TypeError, LookupError, EOFError, OverflowError, MemoryError, struct.error)
_OPCODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}
_INTEGERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4")
_STRINGS = (
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
)
_PUSH_ARGUMENT = {*_INTEGERS, *_STRINGS, "FLOAT", "BINFLOAT", "SHORT_BINBYTES"}
_PUSH_BYTES = {"BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}
_PUSH_NEW: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_PUSH_MARKED: Mapping[str, Callable[[list[Any]], Any]] = {
    "LIST": list,
    "TUPLE": tuple,
    "FROZENSET": new_set,
    "DICT": lambda items: new_dict(_pairs(items)),
}
_TUPLE_SIZES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


class _Machine:
    """The stack machine that a pickle is a program for."""

    def __init__(self, file: mmap.mmap):
        self.file: Any = file
        self.view = memoryview(file)
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Execute up to STOP, and return what is on top of the stack."""
        while True:
            opcode = _OPCODES.get(self.file.read(1))
            if opcode is None:
                raise ValueError(f"there is no opcode at byte {self.file.tell() - 1}")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _PUSH_BYTES:
                self.stack.append(self._bytes(_PUSH_BYTES[opcode.name]))
            else:
                self._execute(opcode.name, opcode.arg.reader(self.file) if opcode.arg else None)

    def _execute(self, name: str, argument: Any) -> None:
        if name in _PUSH_ARGUMENT:
            self.stack.append(argument)
        elif name in _PUSH_NEW:
            self.stack.append(_PUSH_NEW[name]())
        elif name in _PUSH_MARKED:
            marked = _PUSH_MARKED[name](self._since_mark())
            self.stack.append(marked)
        elif name in _TUPLE_SIZES:
            size = _TUPLE_SIZES[name]
            self.stack[-size:] = [tuple(self.stack[-size:])]
        elif (handler := getattr(self, f"_op_{name.lower()}", None)) is not None:
            handler(argument)
        else:
            raise UnsafePickle(
                f"uses the opcode {name}, which makes objects of arbitrary classes; mmsa reads numpy arrays, "
                "containers, strings and numbers only"
            )

    def _bytes(self, length_size: int) -> bytes | memoryview:
        length = int.from_bytes(self.file.read(length_size), "little")
        self.file.seek(length, 1)  # refuses to go beyond the end
        end = self.file.tell()
        content = self.view[end - length : end]
        return content if length > _SHORT else bytes(content)

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def _op_proto(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"protocol {version}")

    def _op_frame(self, size: int) -> None:
        """Frames only say how far a reader may read ahead."""

    def _op_mark(self, _: None) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _op_pop(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._since_mark()

    def _op_pop_mark(self, _: None) -> None:
        self._since_mark()

    def _op_dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def _op_put(self, key: int) -> None:
        self.memo[key] = self.stack[-1]
        if isinstance(self.stack[-1], ArrayDescription):
            self.stack[-1].memo_keys.append(key)

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: None) -> None:
        self._op_put(len(self.memo))

    def _op_get(self, key: int) -> None:
        self.stack.append(self.memo[key])

    _op_binget = _op_long_binget = _op_get

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("items for what is not a list")
        target.extend(items)

    def _op_append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def _op_appends(self, _: None) -> None:
        self._extend(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("keys for what is not a dict")
        target.update(new_dict(_pairs(items)))

    def _op_setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _op_setitems(self, _: None) -> None:
        self._update(self._since_mark())

    def _op_additems(self, _: None) -> None:
        items, target = self._since_mark(), self.stack[-1]
        if not isinstance(target, set):
            raise ValueError("members for what is not a set")
        target |= new_set(items)

    def _op_global(self, module_and_name: str) -> None:
        module, name = module_and_name.split(" ", 1)
        self.stack.append(find(module, name))

    def _op_stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(find(module, name))

    def _op_reduce(self, _: None) -> None:
        arguments, constructor = self.stack.pop(), self.stack.pop()
        if not any(constructor is allowed for allowed in CONSTRUCTORS):
            raise UnsafePickle(f"calls {constructor!r}, which is not one of numpy's constructors")
        self.stack.append(constructor(*arguments))

    def _op_build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack.pop()
        if not isinstance(target, (DTypeDescription, ArrayDescription)):
            raise UnsafePickle(f"sets the state of a {type(target).__name__}; only arrays have one")
        built = target.build(state)
        self.stack.append(built)
        if isinstance(target, ArrayDescription):
            self.memo.update(dict.fromkeys(target.memo_keys, built))
