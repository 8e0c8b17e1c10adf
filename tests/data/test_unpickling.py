from __future__ import annotations

import collections
import contextlib
import copyreg
import io
import os
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmsa.data.unpickling import load
from mmsa.errors import DataError, UnsafePickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickles") / "content.pkl"


def loaded(file: Path, content: bytes) -> Any:
    file.unlink(missing_ok=True)  # arrays of an earlier example may still be mapped
    file.write_bytes(content)
    return load(file)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and type(left) is type(right)


keys = st.text() | st.integers() | st.booleans() | st.none() | st.binary()
leaves = (
    keys
    | st.floats(allow_nan=False)
    | st.sets(st.text())
    | hnp.arrays(
        st.sampled_from(["<f4", ">f8", "<i2", "?", "<U3", "S4", "<c8"]),
        hnp.array_shapes(min_dims=0, min_side=0),
    )
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(values, st.sampled_from(PROTOCOLS))
@settings(max_examples=100, deadline=None)
def test_reads_what_pickle_writes(file: Path, value: Any, protocol: int) -> None:
    assert same(loaded(file, pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_reads_numpy_scalars_object_arrays_and_long_content(file: Path, protocol: int) -> None:
    shared = np.arange(4000, dtype=np.float32).reshape(40, 100)
    value = {
        "scalar": np.float64(1.5),
        "text": np.str_("né"),
        "objects": np.array(["a", None, [1]], dtype=object),
        "fortran": np.asfortranarray(shared),
        "same": [shared, shared],
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "default": collections.defaultdict(list, {"x": [1]}),
    }
    read = loaded(file, pickle.dumps(value, protocol))
    assert read["scalar"] == 1.5
    assert read["text"] == "né"
    assert read["objects"].tolist() == ["a", None, [1]]
    np.testing.assert_array_equal(read["fortran"], shared)
    assert read["same"][0] is read["same"][1]
    np.testing.assert_array_equal(read["same"][0], shared)
    assert list(read["ordered"]) == ["b", "a"]
    assert read["default"] == {"x": [1]}


def test_reads_what_older_numpy_and_python_2_wrote(file: Path) -> None:
    content = pickle.dumps({"a": np.arange(3.0), "s": {1}}, protocol=2)
    older = content.replace(b"numpy._core", b"numpy.core").replace(b"cbuiltins\n", b"c__builtin__\n")
    read = loaded(file, older)
    np.testing.assert_array_equal(read["a"], [0.0, 1.0, 2.0])
    assert read["s"] == {1}
    raw = np.arange(2.0).tobytes()
    python_2 = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
        b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10"
    )
    np.testing.assert_array_equal(loaded(file, python_2 + raw + b"tb."), [0.0, 1.0])


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_are_read_only_views_of_the_mapped_file(file: Path, protocol: int) -> None:
    array = loaded(file, pickle.dumps(np.zeros(100_000), protocol))
    owner = array
    while isinstance(owner, np.ndarray):
        assert not owner.flags.owndata
        owner = owner.base
    assert isinstance(owner, memoryview)
    assert not array.flags.writeable


class Calls:
    def __init__(self, function: Any, *arguments: Any):
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("gadget", "named"),
    [
        (lambda canary: Calls(os.mkdir, canary), r"\.mkdir"),
        (lambda canary: Calls(os.system, f"mkdir {canary}"), r"\.system"),
        (lambda canary: Calls(eval, f"__import__('os').mkdir({canary!r})"), r"\.eval"),
        (lambda canary: Calls(exec, f"__import__('os').mkdir({canary!r})"), r"\.exec"),
        (lambda canary: Calls(getattr, "x", "upper"), r"\.getattr"),
        (lambda canary: Calls(np.load, canary), r"\.load"),
        (lambda canary: Calls(subprocess.Popen, ["mkdir", canary]), r"\.Popen"),
        (lambda canary: Calls(copyreg._reconstructor, Path, object, None), r"_reconstructor"),  # type: ignore[attr-defined]
        (lambda canary: [{"a": (Calls(list, Calls(os.mkdir, canary)),)}], r"\.mkdir"),
        (lambda canary: Path(canary), r"PosixPath|WindowsPath|_reconstructor"),
        (lambda canary: np.ma.masked, r"numpy\.ma"),
        (lambda canary: torch.zeros(2), r"(?s)torch.*return_type 'np'"),
    ],
)
def test_names_what_it_refuses_and_runs_nothing(
    file: Path, tmp_path: Path, protocol: int, gadget: Any, named: str
) -> None:
    canary = tmp_path / "ran"
    with pytest.raises(UnsafePickle, match=named):
        loaded(file, pickle.dumps(gadget(str(canary)), protocol))
    assert not canary.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.",  # state for a constructor
        b"cbuiltins\ndict\nN}X\x03\x00\x00\x00getK\x01s\x86b.",  # attributes for a class
        b"(lN}X\x09\x00\x00\x00__class__K\x01s\x86b.",  # attributes for a list
        b"cnumpy\nndarray\n(K\x01\x85tR.",  # uninitialised memory
        b"X\x01\x00\x00\x00a)R.",  # calling what is not a function
        b"(cos\nmkdir\nX\x01\x00\x00\x00ao.",  # OBJ
        b"(X\x01\x00\x00\x00aios\nmkdir\n.",  # INST
        b"\x80\x02cbuiltins\nlist\n)\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",  # a dotted name
        b"P12\n.",  # a persistent id
        b"\x82\x01.",  # an extension code
        b"\x80\x05\x97.",  # an out-of-band buffer
        b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
        pickle.dumps(np.zeros(2, [("a", "f4"), ("b", "O")]), 2),
        pickle.dumps(np.zeros(2, "M8[s]"), 2),
    ],
)
def test_refuses_programs_that_no_honest_file_needs(file: Path, program: bytes) -> None:
    with pytest.raises(UnsafePickle):
        loaded(file, program)
    assert same(loaded(file, pickle.dumps({"a": np.arange(3)})), {"a": np.arange(3)})


def test_an_extension_code_that_this_process_knows_is_refused_too(file: Path) -> None:
    copyreg.add_extension(os.getcwd.__module__, "getcwd", 240)
    try:
        content = pickle.dumps(os.getcwd, 2)
        assert "EXT1" in {opcode.name for opcode, _, _ in pickletools.genops(content)}
        with pytest.raises(UnsafePickle, match="EXT1"):
            loaded(file, content)
    finally:
        copyreg.remove_extension(os.getcwd.__module__, "getcwd", 240)


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"\x89HDF\r\n\x1a\n",
        b"\x80\x09N.",
        b"r\xff\xff\xff\x7f.",  # a memo key with an empty stack
        b"}((K\x01K\x02ttK\x01s.",  # a nested tuple as a key
        b"B\xff\xff\xff\x7fab.",  # more bytes announced than there are
        pickle.dumps(1) * 2,
        pickle.dumps(np.arange(4), 3).replace(b"K\x04\x85", b"K\x05\x85"),  # a shape larger than its content
        pickle.dumps(np.array(["a"]), 3).replace(b"U1", b"U0"),  # strings of no length
    ],
)
def test_says_so_when_a_file_is_damaged_or_something_else(file: Path, program: bytes) -> None:
    with pytest.raises(DataError, match=str(file.name)):
        loaded(file, program)


def test_a_legacy_torch_file_is_refused(file: Path) -> None:
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, stream, _use_new_zipfile_serialization=False)
    with pytest.raises(DataError, match=r"torch\.save"):
        loaded(file, stream.getvalue())


HONEST = [
    pickle.dumps({"train": {"id": ["a$_$1"], "audio": np.ones((2, 3, 4)), "n": np.float32(1)}}, protocol)
    for protocol in PROTOCOLS
]


@given(st.sampled_from(HONEST), st.data())
@settings(max_examples=400, deadline=None)
def test_a_damaged_file_is_read_or_refused_and_does_nothing_else(
    file: Path, content: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    modules = set(sys.modules)
    with contextlib.suppress(DataError):
        loaded(file, bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    assert set(sys.modules) == modules


@given(st.binary(min_size=1, max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_read_or_refused(file: Path, content: bytes) -> None:
    with contextlib.suppress(DataError):
        loaded(file, content)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("misa_mosi_dev.pkl", 229),
        ("gcnet_CMUMOSI_features_raw_2way.pkl", 7),
        ("poria_mosi_audio.pickle", 7),
        ("misa_mosi_embedding_and_mapping.pt", r"torch\.save"),
        ("mfn_mmmo_audio_valid.h5", "not a pickle"),
    ],
)
def test_real_files_are_read_or_refused(name: str, expected: int | str) -> None:
    path = Path(os.environ["MMSA_DATA"], "raw", name)
    if isinstance(expected, int):
        assert len(load(path)) == expected
        return
    with pytest.raises(DataError, match=expected):
        load(path)


@pytest.mark.real_data
def test_a_real_file_has_the_content_that_pickle_finds() -> None:
    path = Path(os.environ["MMSA_DATA"], "raw", "poria_mosi_audio.pickle")
    expected = pickle.loads(path.read_bytes(), encoding="latin1")
    assert same(load(path), expected)
