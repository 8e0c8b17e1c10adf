"""Reading of untrusted files in a process of its own, with limits on memory and computing time.

The readers refuse what they know to be wrong. What they do not know may crash an interpreter, fill the memory
or never end; here it ends the helper process, and the caller gets a DataError. The first call starts the
process, which serves later calls and ends after 30 idle seconds. It imports neither torch nor Ray, and hands
arrays back in memory that both processes map.
"""

from __future__ import annotations

import atexit
import gc
import json
import logging
import math
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from mmsa.data.corpus import Features, Outline, Split, Strings, Tokens
from mmsa.data.mapped import MappedFile
from mmsa.data.readers import LAYOUTS, Reader
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError, Problem, SealedTest, UnsafePickle, shown

logger = logging.getLogger("mmsa.data")

Call = tuple[str, Sequence[Any]]
"""Name of a reader's method, and JSON-able arguments."""

_RECORDS: dict[str, Any] = {
    record.__name__: record
    for record in (Features, MappedFile, Outline, Problem, Split, Strings, TargetSpec, Tokens)
}
_ERRORS = {error.__name__: error for error in (DataError, SealedTest, UnsafePickle)}

_MEMORY, _MEMORY_PER_BYTE = 2 << 30, 64  # bytes that reading may take
_SECONDS, _SECONDS_PER_BYTE = 30.0, 4e-6  # of computing; a pickle of nothing but opcodes takes 1e-6
_PATIENCE = 10  # times as long by the clock, for slow disks and busy machines
_IDLE = 30.0  # seconds without a call after which the process ends
_ALIGNMENT = 64  # bytes, for arrays
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from mmsa.data.isolation import serve_reader; serve_reader(int(sys.argv[2]))"
)


def read_apart(reader: Reader, *calls: Call) -> list[Any]:
    """Call methods of ``reader`` in the helper process and return their results.

    What the reader logs is logged here. Results may be mappings, lists, strings, numbers, arrays and records
    of ``mmsa.data.corpus``; arrays are read-only.

    Raises:
        DataError: whatever the reader raised, or because the file crashed the process or broke its limits.
    """
    size = _bytes_of(reader.path)
    request = {
        "layout": next(name for name in LAYOUTS if LAYOUTS[name] is type(reader)),
        "path": str(reader.path),
        "folder": None if reader.path.is_absolute() else str(Path.cwd()),
        "config": reader.config.model_dump(mode="json", include=set(reader.Config.model_fields)),
        "calls": calls,
        "memory": _MEMORY + _MEMORY_PER_BYTE * size,
        "seconds": math.ceil(_SECONDS + _SECONDS_PER_BYTE * size),
    }
    with _Helper.lock:
        answer, arrays = _ask(request)
    for level, message in answer["log"]:
        logger.log(level, "%s", message)
    if "error" in answer:
        raise _ERRORS[answer["error"]](answer["message"])
    return [_decode(result, arrays) for result in answer["results"]]


def _bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _ask(request: dict[str, Any]) -> tuple[dict[str, Any], memoryview]:
    for _ in range(2):
        helper = _Helper.running()
        try:
            return helper.ask(request)
        except TimeoutError:
            helper.end()
            raise DataError(
                f"{request['path']}: was not read in {_PATIENCE * request['seconds']:.0f} s; the disk is too "
                "slow, or the file was made to take for ever"
            ) from None
        except (EOFError, OSError):
            code = helper.end()
            if code:  # else it ended because it was idle, at the very moment it was asked
                _refuse_after(request, code)
    raise DataError(f"{request['path']}: the process that reads files cannot be started")


def _refuse_after(request: dict[str, Any], code: int) -> NoReturn:
    reasons = {
        -signal.SIGXCPU: f"took more than {request['seconds']} s of computing",
        -signal.SIGKILL: "was killed, for want of memory most likely",
    }
    reason = (
        reasons.get(code) or f"crashed ({signal.strsignal(-code) if code < 0 else f'exit status {code}'})"
    )
    raise DataError(
        f"{request['path']}: the process that read it {reason}; the file is damaged, or made for that"
    )


class _Helper:
    """The helper process, seen from its parent."""

    lock = threading.Lock()
    current: _Helper | None = None

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and words of ours
                # -I: neither PYTHONPATH nor the working folder may shadow what the helper imports.
                [sys.executable, "-I", "-c", _START, json.dumps(sys.path), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for its owner
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )

    @classmethod
    def running(cls) -> _Helper:
        """The running helper; starts one if there is none."""
        if cls.current is not None and cls.current._process.poll() is not None:
            cls.current.end()
        if cls.current is None:
            cls.current = cls()
        return cls.current

    @classmethod
    def forget(cls) -> None:
        """Drop the helper in a child that was forked: it belongs to the parent alone."""
        cls.lock = threading.Lock()
        if cls.current is not None:
            cls.current._socket.close()
            cls.current._process.returncode = 0  # or Popen would wait for a process that is not its child
            cls.current = None

    @classmethod
    def stop(cls) -> None:
        """End the running helper, if any."""
        if cls.current is not None:
            cls.current.end()

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], memoryview]:
        """The answer to ``request``, and the mapped bytes that its arrays lie in.

        The helper passes a descriptor of an anonymous file: first the arrays, then the answer as JSON, then
        the length of that JSON in eight bytes. Arrays of gigabytes are mapped, never copied through a pipe.
        """
        self._socket.settimeout(_PATIENCE * request["seconds"])
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        told, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not told:
            raise EOFError
        with open(descriptors[0], "rb") as file:  # noqa: PTH123 - a descriptor
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        length = int.from_bytes(content[-8:], "little")
        return json.loads(bytes(content[-8 - length : -8])), content

    def end(self) -> int:
        """End the helper; its exit status, negative for a signal."""
        _Helper.current = None
        self._socket.close()
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return code


atexit.register(_Helper.stop)
os.register_at_fork(after_in_child=_Helper.forget)


def serve_reader(descriptor: int) -> None:
    """Answer requests from a socket until it closes, or none comes for 30 seconds."""
    gc.disable()  # going through the objects of a file while they are made takes as long as making them
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=descriptor) as connection:
        while line := _line(connection):
            with _shared_file() as file:
                _answer(json.loads(line), file)
                socket.send_fds(connection, [b"\n"], [file.fileno()])
            gc.collect()


def _line(connection: socket.socket) -> bytes:
    """The next request; empty when the socket closed or stayed idle."""
    line = b""
    connection.settimeout(_IDLE)
    while not line.endswith(b"\n"):
        try:
            part = connection.recv(1 << 16)
        except (TimeoutError, ConnectionError):
            return b""
        if not part:
            return b""
        line += part
    return line


def _shared_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("mmsa"), "w+b")
    return tempfile.TemporaryFile()


class _Log(logging.Handler):
    """Collects log records, to be logged again by the parent."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record.levelno, record.getMessage()))


def _answer(request: dict[str, Any], file: IO[bytes]) -> None:
    log = _Log()
    logger.handlers, logger.propagate, logger.level = [log], False, logging.DEBUG
    answer: dict[str, Any] = {"log": log.records}
    path = request["path"]
    _limit(request["memory"], request["seconds"])
    try:
        if request["folder"] is not None:  # the helper outlives a change of the caller's working folder
            os.chdir(request["folder"])
        layout = LAYOUTS[request["layout"]]
        reader = layout(Path(path), layout.Config.model_validate(request["config"]))
        results = [getattr(reader, name)(*arguments) for name, arguments in request["calls"]]
        answer["results"] = [_encode(result, file) for result in results]
    except DataError as error:
        answer |= {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        limit = f"{request['memory'] >> 20} MiB"
        answer |= {
            "error": "DataError",
            "message": f"{path}: takes more than {limit} to read, out of proportion",
        }
    except Exception as error:  # a check that is missing must not look like an error of the caller
        what = f"{type(error).__name__}: {shown(str(error))}"
        answer |= {"error": "DataError", "message": f"{path}: cannot be read, damaged most likely ({what})"}
    content = json.dumps(answer).encode()
    file.write(content + len(content).to_bytes(8, "little"))
    file.flush()


def _limit(memory: int, seconds: int) -> None:
    """Limit address space and computing time to ``memory`` bytes and ``seconds`` beyond present use."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + seconds)
    pages = Path("/proc/self/statm")
    if pages.exists():  # elsewhere the size of a process cannot be limited either
        _lower(resource.RLIMIT_AS, int(pages.read_text().split()[0]) * resource.getpagesize() + memory)


def _lower(kind: int, wanted: int) -> None:
    _, most = resource.getrlimit(kind)  # only the soft limit is ours: the next file may need more
    resource.setrlimit(kind, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _encode(value: Any, file: IO[bytes]) -> Any:
    """JSON-able form of ``value``; its arrays are written to ``file`` and referred to by position."""
    if isinstance(value, np.ndarray):
        file.write(b"\0" * (-file.tell() % _ALIGNMENT))  # numpy and torch are slower on unaligned memory
        start = file.tell()
        if value.size:
            file.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return {"array": [value.dtype.str, value.shape, start]}
    if is_dataclass(value):
        # What is mapped from a file is mapped again by the caller, and not copied here.
        left_out = {"values"} if isinstance(value, Features) and value.mapped is not None else set()
        names = [field.name for field in fields(value) if field.name not in left_out]
        content = {name: _encode(getattr(value, name), file) for name in names}
        return {"record": type(value).__name__, "fields": content}
    if isinstance(value, dict):
        return {"mapping": [[key, _encode(item, file)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = type(value).__name__
        return {kind: [_encode(item, file) for item in value]}
    return value


def _decode(value: Any, content: memoryview) -> Any:
    """The inverse of ``_encode``; arrays are views of ``content``."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        dtype, shape, start = value["array"]
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape)
    if "record" in value:
        parts = {name: _decode(part, content) for name, part in value["fields"].items()}
        if parts.get("mapped") is not None:
            parts["values"] = parts["mapped"].open()
        return _RECORDS[value["record"]](**parts)
    if "mapping" in value:
        return {key: _decode(item, content) for key, item in value["mapping"]}
    (kind, items), *_ = value.items()
    decoded = [_decode(item, content) for item in items]
    return tuple(decoded) if kind == "tuple" else decoded
