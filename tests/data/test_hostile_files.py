"""Files that somebody else wrote: a clear error, or the content, in bounded time and memory."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import resource
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from numpy.lib import format as npy

from mmsa.config import parse
from mmsa.data import DATA_SETS, isolation, open_corpus
from mmsa.data.isolation import read_apart
from mmsa.data.readers import Reader
from mmsa.data.readers.mmsa import MmsaReader
from mmsa.data.readers.npz import NpzReader
from mmsa.data.unpickling import load
from mmsa.errors import DataError

MUTANTS = int(os.environ.get("MMSA_MUTANTS", "200"))  # of each kind of file
ROWS = 6
SPLITS = ("train", "valid", "test")


def config(path: Path, **settings: Any) -> Any:
    return parse(DATA_SETS["mosi"].Config, {"path": str(path), **settings}, "test")


def columns(**changes: Any) -> dict[str, Any]:
    """Columns of six rows in the layout of npz; ``changes`` replace some, or remove them with None."""
    arrays = {
        "id": np.array([f"v{row}_1" for row in range(ROWS)]),
        "video_id": np.array([f"v{row}" for row in range(ROWS)]),
        "raw_text": np.array(["one", "two", "three", "four", "five", "six"]),
        "label": np.arange(ROWS) / 2,
        "audio": np.arange(12.0).reshape(ROWS, 2),
        "vision": np.ones((ROWS, 4, 3)),
        "split": np.array(["train", "test", "valid", "train", "valid", "test"]),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def flattened(**changes: Any) -> dict[str, Any]:
    """The same with the frames of all rows one after the other."""
    length = np.array([1, 2, 3, 0, 2, 2])
    return columns(**{"length": length, "audio": np.ones((10, 2)), "vision": np.ones((10, 3)), **changes})


def npz(arrays: dict[str, Any], compressed: bool = True) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def mmsa_content() -> dict[str, Any]:
    table = {
        "id": [f"v$_${row}" for row in range(3)],
        "raw_text": ["a", "b", "c"],
        "audio": np.ones((3, 4, 2), np.float32),
        "audio_lengths": [1, 2, 4],
        "vision": [[[1.0], [2.0]]] * 3,
        "regression_labels": np.arange(3.0),
    }
    names = {"train": "t", "valid": "v", "test": "e"}
    return {split: table | {"id": [f"{name}{row}$_$1" for row in range(3)]} for split, name in names.items()}


def members(arrays: dict[str, Any], **replaced: bytes) -> bytes:
    """An npz file in which the bytes of some arrays are others."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            whole = io.BytesIO()
            npy.write_array(whole, np.asanyarray(array))
            archive.writestr(f"{name}.npy", replaced.get(name, whole.getvalue()))
    return stream.getvalue()


def array_bytes(descr: str, shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def with_changed_arrays(arrays: dict[str, Any], count: int, seed: int) -> Iterator[bytes]:
    """Npz files in which one array is changed, and the checksum is right."""
    names = list(arrays)
    for position, name in enumerate(names):
        whole = io.BytesIO()
        npy.write_array(whole, arrays[name])
        for changed in hostile.mutants(whole.getvalue(), count // len(names) + 1, seed + position):
            yield members(arrays, **{name: changed})


MUTATED: dict[str, tuple[type[Reader], Callable[[int], Iterator[bytes]]]] = {
    "npz": (NpzReader, partial(hostile.mutants, npz(columns()), seed=1)),
    "npz, not compressed": (NpzReader, partial(hostile.mutants, npz(flattened(), compressed=False), seed=2)),
    "arrays": (NpzReader, partial(with_changed_arrays, columns(), seed=3)),
    "arrays of flattened frames": (NpzReader, partial(with_changed_arrays, flattened(), seed=4)),
    "pickle, protocol 2": (MmsaReader, partial(hostile.mutants, pickle.dumps(mmsa_content(), 2), seed=5)),
    "pickle, protocol 5": (MmsaReader, partial(hostile.mutants, pickle.dumps(mmsa_content(), 5), seed=6)),
}


@pytest.mark.parametrize("kind", MUTATED)
@pytest.mark.timeout(60 + MUTANTS)
def test_a_changed_file_is_read_or_refused_and_not_changed(tmp_path: Path, kind: str) -> None:
    reader, changes = MUTATED[kind]
    path = tmp_path / "f"
    refused = 0
    for number, changed in enumerate(changes(MUTANTS)):
        path.unlink(missing_ok=True)
        path.write_bytes(changed)
        message = ""
        try:
            reader(path, config(path)).read(SPLITS)
        except DataError as error:
            message = str(error)
        refused += bool(message)
        assert len(message.encode()) < 3000, number
        assert path.read_bytes() == changed
    assert refused > MUTANTS // 4


@pytest.mark.parametrize("name", hostile.pickles())
def test_a_pickle_made_to_do_harm_is_refused_before_it_does(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.pkl"
    path.write_bytes(hostile.pickles()[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises(DataError) as caught:
        load(path)
    assert time.process_time() - started < 15
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 700 << 10  # KiB
    assert len(str(caught.value)) < 2000
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": np.ones(ROWS)}, r"array audio: 'float64 of shape \(6,\)'"),
        ({"audio": np.ones((ROWS, 2, 3, 4))}, "array audio"),
        ({"audio": np.ones((ROWS, 0, 3))}, "T at least 1"),
        ({"audio": np.ones((ROWS, 3, 0))}, "D and T at least 1"),
        ({"audio": np.ones((ROWS, 2), complex)}, "'audio'.*only real numbers and text"),
        ({"audio": np.ones((ROWS, 2), "M8[s]")}, "'audio'.*only real numbers and text"),
        ({"audio": np.array([["1", "2"]] * ROWS)}, "array audio: 'text of shape"),
        ({"label": np.array(["1.0"] * ROWS)}, "array label: 'text of shape"),
        ({"label": np.ones(ROWS, "m8[s]")}, "'label'.*only real numbers"),
        ({"label": np.ones((ROWS, 3))}, "must have a row for each id"),
        ({"id": np.arange(ROWS)}, "array id.*is not a string"),
        ({"video_id": np.ones((ROWS, 2))}, "array video_id"),
        ({"raw_text": np.arange(ROWS)}, "array raw_text"),
        ({"raw_text": np.array(["a\ud800"] * ROWS)}, "lone surrogate"),
        ({"split": np.arange(ROWS)}, "array split"),
        ({"split": np.array("train")}, "array split"),
    ],
)
def test_an_npz_array_of_another_kind_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "f.npz").write_bytes(npz(columns(**changes)))
    with pytest.raises(DataError, match=f"(?s){message}"):
        open_corpus(config(tmp_path / "f.npz"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": np.full(ROWS, 2**62)}, "array length: '4611686018427387904 in row 0'"),
        ({"length": np.full(ROWS, 2**63 + 1, np.uint64)}, "array length"),
        ({"length": np.array([1, 2, 3, -2, 3, 3])}, "'-2 in row 3'"),
        ({"length": np.array([1, 2, np.nan, 0, 2, 2])}, "'nan in row 2'"),
        ({"length": np.array([1, 2, 2.5, 0.5, 2, 2])}, r"'2\.5 in row 2'"),
        ({"length": np.array(["1"] * ROWS)}, "array length: 'text of shape"),
        ({"length": np.ones(5, int)}, "array length.*for each of the 6 rows"),
        ({"length": np.ones((ROWS, 1), int)}, "array length"),
        ({"length": np.ones(ROWS, int)}, "array audio.*has 10 frames, but `length` adds up to 6"),
        ({"audio": np.ones(10)}, "array audio.*one after the other"),
        ({"audio": np.ones((ROWS, 4, 2))}, "array audio.*save the file without it"),
    ],
)
def test_lengths_that_do_not_fit_the_frames_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "f.npz").write_bytes(npz(flattened(**changes)))
    with pytest.raises(DataError, match=f"(?s){message}"):
        open_corpus(config(tmp_path / "f.npz"))


def test_all_problems_of_an_npz_file_are_told_at_once(tmp_path: Path) -> None:
    wrong = {"audio": np.ones(ROWS), "label": np.ones(ROWS, complex), "id": np.arange(ROWS)}
    (tmp_path / "f.npz").write_bytes(npz(columns(**wrong)))
    with pytest.raises(DataError) as caught:
        open_corpus(config(tmp_path / "f.npz"))
    assert all(f"{word}" in str(caught.value) for word in ("array audio", "'label'", "array id"))


HEADERS = {
    "factors": array_bytes("'<f8'", f"({'1, ' * 2000})"),
    "overflow": array_bytes("'<f8'", "(6, 9999999999999999999)"),
    "negative": array_bytes("'<f8'", "(6, -1)"),
    "no columns": array_bytes("'<f8'", "(6, 100000000, 0)"),
    "an expression": array_bytes("'<f8'", "(6, 2 ** 60)"),
    "nesting": array_bytes("'<f8'", "(" * 900 + ")" * 900),
    "minus signs": array_bytes("'<f8'", "(" + "-" * 9000 + "1,)"),
    "no end of a string": array_bytes("'<f8", "(6, 2)"),
    "a subarray": array_bytes("'(1000000,1000000)f4'", "(6, 2)"),
    "fields": array_bytes("[('a', '<f8')]", "(6, 2)"),
    "objects": array_bytes("'|O'", "(6, 2)", bytes(96)),
    "a long header": b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"{",
    "another version": b"\x93NUMPY\x09\x00" + bytes(50),
    "nothing": b"",
    "half a string": array_bytes("'<U1'", "(6,)", b"\xff" * 24),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_was_made_to_do_harm_is_refused(tmp_path: Path, name: str) -> None:
    for array in ("audio", "raw_text"):
        (tmp_path / "f.npz").write_bytes(members(columns(), **{array: HEADERS[name]}))
        started = time.process_time()
        with pytest.raises(DataError, match=array):
            NpzReader(tmp_path / "f.npz", config(tmp_path / "f.npz")).read(SPLITS)
        assert time.process_time() - started < 2


def test_a_small_file_that_inflates_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path, rows_of = tmp_path / "f.npz", 88 << 20  # six are little more than what may be taken
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in columns(audio=None).items():
            with archive.open(f"{name}.npy", "w") as stream:
                npy.write_array(stream, array)
        with archive.open("audio.npy", "w") as stream:
            stream.write(array_bytes("'|u1'", f"(6, {rows_of})"))
            for _ in range(6 * (rows_of >> 20)):
                stream.write(bytes(1 << 20))
    assert path.stat().st_size < 4 << 20
    with pytest.raises(DataError, match="would take more than 512 MiB"):
        open_corpus(config(path))


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_refused(tmp_path: Path, packing: int) -> None:
    with zipfile.ZipFile(tmp_path / "f.npz", "w", packing) as archive:
        for name, array in columns().items():
            with archive.open(f"{name}.npy", "w") as stream:
                npy.write_array(stream, array)
    with pytest.raises(DataError, match=r"save it with np\.savez"):
        open_corpus(config(tmp_path / "f.npz"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("raw_text", None),
        ("raw_text", "abc"),
        ("raw_text", {"a": 1, "b": 2, "c": 3}),
        ("raw_text", ["a", "b", "\ud800"]),
        ("raw_text", ["a"] * 2 + ["b" * 10**6] * 1 + ["c"] * 200_000),
        ("id", 5),
        ("id", [["a"], ["b", "c"], [[]]]),
        ("audio", None),
        ("audio", [[["1.0"]]] * 3),
        ("audio", np.ones((3, 2), complex)),
        ("audio", np.zeros((3, 0, 2))),
        ("audio", b"\0" * 3000),
        ("vision", [[[10**400]]] * 3),
        ("regression_labels", {"a"}),
        ("regression_labels", [None] * 3),
        ("audio_lengths", [1, 2]),
        ("audio_lengths", "abc"),
    ],
)
def test_a_column_of_another_kind_in_a_pickle_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    content = mmsa_content()
    content["train"][key] = value
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError) as caught:
        MmsaReader(tmp_path / "f.pkl", config(tmp_path / "f.pkl")).read(SPLITS)
    assert key in str(caught.value)
    assert len(str(caught.value)) < 2000


class TestTheProcessThatReads:
    """What ends it, and what it hands back."""

    def break_with(self, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
        """Make the next process run ``code`` where it should read."""
        isolation._Helper.stop()
        setup = "from mmsa.data.readers.npz import NpzReader; "
        broken = f"{setup}NpzReader.read = lambda self, splits: exec({code!r}); "
        start = isolation._START.replace("from mmsa.data.isolation", broken + "from mmsa.data.isolation")
        monkeypatch.setattr(isolation, "_START", start)
        monkeypatch.setattr(isolation, "_SECONDS", 0.5)
        monkeypatch.setattr(isolation, "_PATIENCE", 60)
        monkeypatch.setattr(isolation, "_MEMORY", 300 << 20)

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed .*Segmentation fault"),
            ("while True: pass", "more than 1 s of computing"),
            ("bytearray(1 << 32)", "takes more than .* MiB to read"),
            ("raise KeyError('strange')", "KeyError.*strange"),
        ],
    )
    def test_its_end_is_an_error_of_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
    ) -> None:
        (tmp_path / "f.npz").write_bytes(npz(columns()))
        with monkeypatch.context() as broken:
            self.break_with(broken, code)
            with pytest.raises(DataError, match=message) as caught:
                open_corpus(config(tmp_path / "f.npz"))
            assert str(tmp_path / "f.npz") in str(caught.value)
            isolation._Helper.stop()

    def test_the_next_file_is_read_by_another(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "f.npz").write_bytes(npz(columns()))
        with monkeypatch.context() as broken:
            self.break_with(broken, "import os; os._exit(3)")
            with pytest.raises(DataError, match="exit status 3"):
                open_corpus(config(tmp_path / "f.npz"))
        assert len(open_corpus(config(tmp_path / "f.npz"))["train"]) == 2

    def test_one_that_waits_for_ever_is_given_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "f.npz").write_bytes(npz(columns()))
        with monkeypatch.context() as broken:
            self.break_with(broken, "import time; time.sleep(1000)")
            broken.setattr(isolation, "_PATIENCE", 1)
            with pytest.raises(DataError, match="was not read in 1 s"):
                open_corpus(config(tmp_path / "f.npz"))

    def test_one_that_was_idle_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "f.npz").write_bytes(npz(columns()))
        open_corpus(config(tmp_path / "f.npz"))
        first = isolation._Helper.running()
        with contextlib.suppress(ProcessLookupError):
            os.kill(first._process.pid, signal.SIGKILL)
        first._process.wait()
        assert len(open_corpus(config(tmp_path / "f.npz"))["valid"]) == 2
        assert isolation._Helper.running() is not first

    @pytest.mark.parametrize("arrays", [columns(), flattened()])
    def test_it_hands_back_what_the_reader_reads(self, tmp_path: Path, arrays: dict[str, Any]) -> None:
        path = tmp_path / "f.npz"
        path.write_bytes(npz(arrays))
        reader = NpzReader(path, config(path))
        here = reader.read(SPLITS)
        (there,) = read_apart(reader, ("read", [SPLITS]))
        assert {name: split.digest for name, split in there.items()} == {
            name: split.digest for name, split in here.items()
        }
        assert not there["train"].labels.flags.writeable

    def test_relative_paths_are_meant_from_where_its_user_is_now(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in (tmp_path / "a", tmp_path / "b"):  # the same process reads both
            folder.mkdir()
            (folder / "f.npz").write_bytes(npz(columns()))
            monkeypatch.chdir(folder)
            assert len(open_corpus(config(Path("f.npz")))["train"]) == 2
            (folder / "f.npz").unlink()

    def test_what_it_logs_is_logged_here(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "f.npz").write_bytes(npz(columns(audio=np.full((ROWS, 2), np.inf))))
        open_corpus(config(tmp_path / "f.npz"))
        assert "4 inf set to 0" in caplog.text

    def test_it_imports_nothing_heavy(self) -> None:
        import subprocess
        import sys

        code = "import sys, mmsa.data.isolation; sys.exit(bool({'torch', 'scipy', 'ray'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
