"""A pickle machine for untrusted files: numpy arrays, containers, strings and numbers, and nothing else.

A ``pickle.Unpickler`` with a restricted ``find_class`` is not enough: it still calls numpy's own constructors
with states that the file chose, which can crash the interpreter, and it runs opcodes whose cost the file
chooses. Here every opcode and every global is either interpreted or refused; no name of the file is imported,
and only the few functions that stand in for numpy's constructors are called. Protocols 0 to 5 are read, with
the latin1 strings of Python 2.

The file is mapped, not read: arrays are read-only views of it, so pages of an array that nobody looks at are
never brought into memory.
"""

from __future__ import annotations

import mmap
import pickletools
import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmsa.data import budget
from mmsa.data.pickled_globals import (
    ALLOWED,
    CONSTRUCTORS,
    ArrayDescription,
    DTypeDescription,
    check_keys,
    cost,
    new_dict,
    new_set,
)
from mmsa.errors import DataError, UnsafePickle, shown

_SHORT = 1024  # a byte string longer than this is the content of an array, and comes as a view of the file
_MAX_MARKS = 1000  # containers whose items are being listed, one within the other


def load(path: Path) -> Any:
    """Load a file that holds one pickle.

    Arrays are read-only views of the mapped file. ``defaultdict`` and ``OrderedDict`` become ``dict``. No
    container holds itself or lies deeper than 64 containers, and all of them take memory in proportion to the
    file (see ``mmsa.data.budget``).

    Raises:
        UnsafePickle: when the file asks for anything outside the allow-list; nothing of it was run.
        DataError: for a file that is missing, damaged, holds several pickles, or grows out of proportion.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    try:
        content = Machine(mapped).run()
        budget.check_nesting(content, len(mapped))
    except UnsafePickle as error:
        raise UnsafePickle(f"{path}: {error}") from None
    except DAMAGE as error:
        reason = str(error)[:_SHORT] or type(error).__name__
        raise DataError(f"{path}: is not a pickle, or is damaged: {reason}; fetch it again") from error
    if mapped.tell() != len(mapped):
        rest = len(mapped) - mapped.tell()
        raise DataError(
            f"{path}: {rest} bytes follow the pickle; files of several pickles, such as those of torch.save, "
            "are not read; save the content as one pickle of numpy arrays"
        )
    return content


DAMAGE = (
    ArithmeticError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""Errors of code that reads bytes which make no sense."""

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


class Machine:
    """The stack machine that executes a pickle.

    Every operation takes constant time and memory, or consumes items that earlier operations made. The
    exceptions are REDUCE and BUILD, which can be given one large object again and again; they pay from the
    budget.
    """

    def __init__(self, file: mmap.mmap):
        self.file: Any = file
        self.view = memoryview(file)
        self.budget = budget.for_calls(len(file))
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Execute up to STOP and return the top of the stack."""
        file, read_opcode = self.file, self.file.read_byte
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of odd escapes in names
            while (opcode := read_opcode()) != _STOP:
                execute, read_argument = _PROGRAM.get(opcode, _UNKNOWN)
                execute(self, read_argument(file) if read_argument else None)
        return self.stack.pop()

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def _op_bytes(self, length: int) -> None:
        self.file.seek(length, 1)  # refuses to go beyond the end
        end = self.file.tell()
        content = self.view[end - length : end]
        self.stack.append(content if length > _SHORT else bytes(content))

    def _op_tuple(self, size: int) -> None:
        if len(self.stack) < size:
            raise ValueError(f"a tuple of {size} from {len(self.stack)} items")
        self.stack[-size:] = [tuple(self.stack[-size:])]

    def _op_proto(self, version: int) -> None:
        if version > 5:
            raise ValueError(f"protocol {version}")

    def _op_frame(self, size: int) -> None:
        """Do nothing: frames are a hint for reading ahead."""

    def _op_mark(self, _: None) -> None:
        if len(self.marked) == _MAX_MARKS:
            raise ValueError(f"more than {_MAX_MARKS} containers begin before one of them ends")
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
        if not 0 <= key < len(self.view):
            raise ValueError(f"a memo of {shown(key)} objects in a file of {len(self.view)} bytes")
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
        check_keys(items[::2], len(target) + len(items) // 2)
        target.update(_pairs(items))

    def _op_setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _op_setitems(self, _: None) -> None:
        self._update(self._since_mark())

    def _op_additems(self, _: None) -> None:
        items, target = self._since_mark(), self.stack[-1]
        if not isinstance(target, set):
            raise ValueError("members for what is not a set")
        check_keys(items, len(target) + len(items))
        target.update(items)

    def _op_global(self, module_and_name: str) -> None:
        module, name = module_and_name.split(" ", 1)
        self.stack.append(self.find(module, name))

    def _op_stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError(f"asks for a global whose name is {shown(module)} and {shown(name)}")
        self.stack.append(self.find(module, name))

    def _op_reduce(self, _: None) -> None:
        arguments, constructor = self.stack.pop(), self.stack.pop()
        if not isinstance(arguments, tuple):
            raise ValueError(f"a call with {shown(arguments)} as its arguments")
        self.budget.spend(cost(arguments))
        self.stack.append(self.call(constructor, arguments))

    def _op_build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack.pop()
        self.budget.spend(cost(state) if isinstance(state, tuple) else 0)
        built = self.build(target, state)
        self.stack.append(built)
        if isinstance(target, ArrayDescription):
            # The memo was given the description, and later references mean the array.
            self.memo.update(dict.fromkeys(target.memo_keys, built))

    def _op_binpersid(self, _: None) -> None:
        self.stack.append(self.refer(self.stack.pop()))

    def find(self, module: str, name: str) -> Any:
        """The stand-in for a global.

        Raises:
            UnsafePickle: for a global outside the allow-list.
        """
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        advice = (
            "it holds torch tensors: save it again with numpy arrays (MMSA-FET: return_type 'np')"
            if module.startswith("torch")
            else "convert it to numpy arrays, containers, strings and numbers where its code is trusted"
        )
        raise UnsafePickle(f"asks for {shown(f'{module}.{name}')}, which mmsa does not run; {advice}")

    def call(self, constructor: Any, arguments: tuple[Any, ...]) -> Any:
        """Call a constructor.

        Raises:
            UnsafePickle: for anything but the stand-ins of ``mmsa.data.pickled_globals``.
        """
        if not any(constructor is allowed for allowed in CONSTRUCTORS):
            raise UnsafePickle(f"calls {shown(constructor)}, which is not one of numpy's constructors")
        return constructor(*arguments)

    def build(self, target: Any, state: Any) -> Any:
        """Give ``target`` its state.

        Raises:
            UnsafePickle: for anything but an array or a dtype.
        """
        if not isinstance(target, (DTypeDescription, ArrayDescription)):
            raise UnsafePickle(f"sets the state of a {type(target).__name__}; only arrays have one")
        return target.build(state)

    def refer(self, identity: Any) -> Any:
        """Refuse a reference to an object outside of the pickle.

        Raises:
            UnsafePickle: always.
        """
        raise UnsafePickle(f"refers to {shown(identity)}, which lies outside of it")


_Handler = Callable[[Machine, Any], None]
_Step = tuple[_Handler, Callable[[Any], Any] | None]


def _step(opcode: pickletools.OpcodeInfo) -> _Step:
    """The functions that execute ``opcode`` and read its argument."""
    name, read_argument = opcode.name, opcode.arg.reader if opcode.arg else None
    if name in _PUSH_ARGUMENT:
        return _push, read_argument
    if name in _PUSH_BYTES:
        return Machine._op_bytes, lambda file: int.from_bytes(file.read(_PUSH_BYTES[name]), "little")
    if name in _PUSH_NEW:
        return (lambda machine, _: _push(machine, _PUSH_NEW[name]())), None
    if name in _PUSH_MARKED:
        return (lambda machine, _: _push(machine, _PUSH_MARKED[name](machine._since_mark()))), None
    if name in _TUPLE_SIZES:
        return (lambda machine, _: machine._op_tuple(_TUPLE_SIZES[name])), None
    return getattr(Machine, f"_op_{name.lower()}", _refusing(name)), read_argument


def _push(machine: Machine, value: Any) -> None:
    machine.stack.append(value)


def _refusing(name: str) -> _Handler:
    def refuse(machine: Machine, argument: Any) -> None:
        raise UnsafePickle(
            f"uses the opcode {name}, which makes objects of arbitrary classes; mmsa reads numpy arrays, "
            "containers, strings and numbers only"
        )

    return refuse


def _unknown(machine: Machine, argument: Any) -> None:
    raise ValueError(f"there is no opcode at byte {machine.file.tell() - 1}")


_STOP = ord(".")
_PROGRAM: Mapping[int, _Step] = {ord(opcode.code): _step(opcode) for opcode in pickletools.opcodes}
_UNKNOWN: _Step = (_unknown, None)
