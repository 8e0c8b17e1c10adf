"""Files that were made to break a reader, and honest ones with a few bytes changed."""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Iterator

import numpy as np

MODULUS = 2**61 - 1  # of Python's hash of integers


def mutants(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` copies of ``content``, each changed in another way."""
    draw = random.Random(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 1, 2, 5, 20))):
            place = draw.randrange(len(changed))
            kind = draw.randrange(6)
            if kind == 0:
                changed[place] ^= 1 << draw.randrange(8)
            elif kind == 1:
                changed[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, ord("9"), ord("(")))
            elif kind == 2:
                end = place + draw.randrange(1, 30)
                changed[place:end] = changed[place:end][::-1]
            elif kind == 3:
                source = draw.randrange(len(changed))
                changed[place:place] = changed[source : source + draw.randrange(1, 60)]
            elif kind == 4:
                del changed[place : place + draw.randrange(1, 60)]
            else:
                changed[place : place + 4] = struct.pack("<I", draw.choice((0, 1, 2**31 - 1, 2**32 - 1)))
            changed = changed or bytearray(b"\0")
        yield bytes(changed)


def pickles() -> dict[str, bytes]:
    """Programs of at most a few megabytes that crash, never end or fill the memory where they are trusted."""
    short = b"X\x01\x00\x00\x00a"
    deep = b")" + b"\x85" * 100_000
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    empty, text = pickle.dumps(np.zeros((20, 7, 0)), 3), pickle.dumps(np.array(["abc"]), 3)
    shape = b"(" + (b"\x8a\x1f" + b"\x7f" * 31) * 60_000 + b"t"
    return {
        "name of a global": b"\x80\x04" + short + deep + b"\x93.",
        "module of a global": b"\x80\x04" + deep + short + b"\x93.",
        "deep": b"\x80\x04" + deep + b".",
        "deep key": b"\x80\x04}" + deep + b"K\x01s.",
        "deep type": b"\x80\x04cnumpy\ndtype\n" + deep + b"\x85R.",
        "deep shape": pickle.dumps(np.zeros(3), 3).replace(b"K\x03\x85", deep, 1),
        "deep order": b"\x80\x02cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03" + deep + b"NNNtb.",
        "deep constructor": b"\x80\x04" + deep + b")R.",
        "deep codec": b"\x80\x02c_codecs\nencode\n" + short + deep + b"\x86R.",
        "holds itself": b"\x80\x04]\x94h\x00a.",
        "shared": b"\x80\x04K\x01\x94"
        + b"".join(2 * (b"h" + bytes([level])) + b"\x86\x94" for level in range(50))
        + b".",
        "copies of a list": b"cbuiltins\nlist\nq\x000]("
        + b"K\x01" * 100_000
        + b"e\x85q\x010"
        + b"h\x00h\x01R" * 200_000
        + b".",
        "copies of bytes": b"c_codecs\nencode\nq\x000X"
        + struct.pack("<I", 10**6)
        + b"a" * 10**6
        + b"X\x06\x00\x00\x00latin1\x86q\x010"
        + b"h\x00h\x01R" * 60_000
        + b".",
        "factors": pickle.dumps(np.zeros(3), 3).replace(b"K\x03\x85", shape, 1),
        "rows without columns": empty.replace(b"K\x07", b"J\x00\xe1\xf5\x05", 1),
        "negative shape": pickle.dumps(np.zeros(3), 3).replace(b"K\x03\x85", b"J\xff\xff\xff\xff\x85", 1),
        "marks": b"\x80\x04" + b"(" * 3_000_000 + b".",
        "one hash": b"\x80\x04}("
        + b"".join(b"\x8a\x0c" + (MODULUS * k).to_bytes(12, "little") + b"N" for k in range(1, 50_000))
        + b"u.",
        "one hash in the memo": b"".join(b"Np%d\n0" % (MODULUS * k) for k in range(1, 20_000)) + b"N.",
        "built again and again": b"\x80\x02"
        + array
        + b"".join(b"r" + struct.pack("<I", key) for key in range(20_000))
        + b"2" * 20_000
        + b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R\x89U\x10"
        + bytes(16)
        + b"tb" * 2
        + b".",
        "digits": b"I" + b"9" * 1_000_000 + b"\n.",
        "no quotes": b"S" + b"\x01" * 1_000_000 + b"\n.",
        "wide strings": b"\x80\x02cnumpy\ndtype\nU\x0bU9999999999K\x00K\x01\x87R.",
        "a long name": b"c" + b"a" * 1_000_000 + b"\nb\n.",
        "surrogates": b"\x80\x04\x8c\x03\xed\xa0\x80\x8c\x01a\x93.",
        "characters that do not exist": text.replace(b"a\0\0\0", b"\xff\xff\xff\xff"),
        "too few for a tuple": b"\x80\x04K\x01\x87.",
        "arguments that are no tuple": b"\x80\x04cbuiltins\nlist\nK\x01R.",
    }
