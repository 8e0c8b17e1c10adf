"""Checkpoints and bundles that are damaged, or were made to do harm, with checksums that are right."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmsa.errors import CheckpointError, DataError
from mmsa.training import epochs, load_bundle
from mmsa.training.checkpoint import read_checkpoint

MUTANTS = int(os.environ.get("MMSA_MUTANTS", "200"))


def parts_of(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(file: Path, parts: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def mutate(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 3))):
        place = draw.randrange(len(changed))
        if draw.random() < 0.7:
            changed[place] = draw.choice((draw.randrange(256), 0, 0xFF, changed[place] ^ 1))
        else:
            del changed[place : place + draw.randrange(1, 9)]
    return bytes(changed)


@pytest.mark.timeout(120 + MUTANTS)
def test_a_changed_checkpoint_with_right_checksums_is_read_or_refused(
    saved: Path, late_fusion, corpus
) -> None:
    file = saved / "checkpoint.pt"
    parts, draw, refused = parts_of(file), random.Random(0), 0
    pickle = next(name for name in parts if name.endswith("data.pkl"))
    for number in range(MUTANTS):
        changed = parts | {pickle: mutate(parts[pickle], draw)}
        write_parts(file, changed)
        message = ""
        try:
            if number % 20:
                read_checkpoint(saved, {})
            else:
                epochs(late_fusion(), corpus, resume=saved)
        except CheckpointError as error:
            message = str(error)
        refused += bool(message)
        assert len(message.encode()) < 3000, number
    assert refused > MUTANTS // 4


DEEP = b")" + b"\x85" * 200_000
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu%btQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"%b%b%b\x89ccollections\nOrderedDict\n)RtR"
FRAME = {"checkpoint/data/0": bytes(16), "checkpoint/byteorder": b"little", "checkpoint/version": b"3\n"}
TWO, FOUR = b"K\x02", b"K\x04"


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}" + DEEP + b"K\x01s.",
        b"\x80\x02}X\x06\0\0\0format" + DEEP + b"s.",
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02ctorch\nSize\n" + DEEP + b"\x85R.",
        b"\x80\x02" + b"(" * 1_000_000 + b".",
        b"\x80\x02" + TENSOR % (FOUR, b"K\x00", b"J\xff\xff\xff\x7f\x85", b"K\x00\x85") + b".",
        b"\x80\x02" + TENSOR % (b"J\xff\xff\xff\x7f", b"K\x00", TWO + b"\x85", b"K\x01\x85") + b".",
        b"\x80\x02" + TENSOR % (FOUR, b"J\xff\xff\xff\xff", TWO + b"\x85", b"K\x01\x85") + b".",
        b"\x80\x02" + TENSOR % (FOUR, b"N", TWO + b"\x85", b"K\x01\x85") + b".",
        b"\x80\x02" + TENSOR % (FOUR, b"K\x00", b"N", b"K\x01\x85") + b".",
        b"\x80\x02(X\x07\0\0\0storagetQ.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02G\x00",
        b"\x80\x02.",
        b"",
    ],
)
def test_a_pickle_in_a_checkpoint_that_was_made_to_do_harm_is_refused(saved: Path, program: bytes) -> None:
    state = {
        f"checkpoint/{name}": content for name, content in {"data.pkl": program, "version": b"3\n"}.items()
    }
    write_parts(
        saved / "checkpoint.pt", state | {"checkpoint/data/0": bytes(16), "checkpoint/byteorder": b"little"}
    )
    with pytest.raises(CheckpointError, match="damaged, or is no checkpoint") as caught:
        read_checkpoint(saved, {})
    assert len(str(caught.value)) < 1000


def test_an_honest_tensor_in_the_same_frame_is_read(saved: Path) -> None:
    tensor = TENSOR % (FOUR, b"K\x00", TWO + b"\x85", b"K\x01\x85")
    program = b"\x80\x02}(X\x06\0\0\0formatK\x01X\x01\0\0\0t" + tensor + b"u."
    state = {"checkpoint/data.pkl": program, "checkpoint/version": b"3\n"}
    write_parts(
        saved / "checkpoint.pt", state | {"checkpoint/data/0": bytes(16), "checkpoint/byteorder": b"little"}
    )
    assert read_checkpoint(saved, {})["t"].tolist() == [0.0, 0.0]


def test_a_compressed_checkpoint_is_refused(saved: Path) -> None:
    file = saved / "checkpoint.pt"
    write_parts(file, parts_of(file), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(saved, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position", [1, 2]),
        ("position", {"epoch": "1"}),
        ("course", torch.zeros(3)),
        ("model", 5),
        ("model", {"a": None}),
        ("optimiser", []),
        ("optimiser", {"state": {0: {"step": "x"}}, "param_groups": 3}),
        ("schedule", None),
        ("random", {"torch": torch.zeros(3)}),
        ("random", {"torch": 3}),
        ("monitors", 7),
        ("monitors", [{"names": 5}]),
        ("selection", {"epoch": 1}),
        ("selection", "abc"),
        ("history", 5),
        ("history", []),
        ("history", [[1.0]]),
        ("seconds", "long"),
        ("config", torch.zeros(3)),
        ("config", {1: 2, "a": torch.zeros(2)}),
        ("corpus", torch.zeros(2)),
        ("format", torch.ones(2)),
        ("format", "1"),
    ],
)
def test_a_state_of_another_kind_is_refused(saved: Path, late_fusion, corpus, key: str, value: Any) -> None:
    state = torch.load(saved / "checkpoint.pt", weights_only=True)
    torch.save(state | {key: value}, saved / "checkpoint.pt")
    with pytest.raises(CheckpointError):
        epochs(late_fusion(), corpus, resume=saved)


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        inputs = json.loads(content)
        return json.dumps(change(inputs) or inputs).encode()

    return apply


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("inputs.json", lambda _: b"[" * 100_000),
        ("inputs.json", lambda _: b"\xff\xfe"),
        ("inputs.json", edit(lambda inputs: [inputs])),
        ("inputs.json", edit(lambda inputs: inputs.update(audio=[1, 2]))),
        ("inputs.json", edit(lambda inputs: inputs.update(label_range=3))),
        ("inputs.json", edit(lambda inputs: inputs.update(label_range=["a", "b"]))),
        ("inputs.json", edit(lambda inputs: inputs["audio"].update(dim=10**12))),
        ("inputs.json", edit(lambda inputs: inputs["audio"].update(mean=[[1.0]]))),
        ("inputs.json", edit(lambda inputs: inputs["audio"]["scale"].__setitem__(0, 0.0))),
        ("inputs.json", edit(lambda inputs: inputs["audio"]["mean"].__setitem__(0, None))),
        ("inputs.json", edit(lambda inputs: inputs["text"].update(kind=5))),
        ("weights.safetensors", lambda _: b""),
        ("weights.safetensors", lambda _: (2**63).to_bytes(8, "little") + b"{}"),
        ("weights.safetensors", lambda content: content[:8] + b"[" * (len(content) - 8)),
    ],
)
def test_a_bundle_of_another_kind_is_refused(
    bundle: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    load_bundle(bundle)
    (bundle / name).write_bytes(change((bundle / name).read_bytes()))
    with pytest.raises(DataError, match="damaged model bundle"):
        load_bundle(bundle)
