"""The published feature files, recognised by their digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_CHUNK = 1 << 22


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        data_set: name of the data set.
        file: name of the file.
        sha256: first hexadecimal digits; no more are published.
        sha1: all hexadecimal digits.
    """

    data_set: str
    file: str
    sha256: str
    sha1: str

    def __str__(self) -> str:
        return f"the published {self.file} of {self.data_set}"


# The README of thuiar/MMSA lists SHA-256, older versions of it SHA-1.
PUBLISHED = (
    Published("mosi", "unaligned_50.pkl", "78e0f8b5", "5da0b8440fc5a7c3a457859af27458beb993e088"),
    Published("mosi", "aligned_50.pkl", "d3994fd2", "5c62b896619a334a7104c8bef05d82b05272c71c"),
    Published("mosei", "unaligned_50.pkl", "ad8b23d5", "db3e2cff4d706a88ee156981c2100975513d4610"),
    Published("mosei", "aligned_50.pkl", "45eccfb7", "ef49589349bc1c2bc252ccc0d4657a755c92a056"),
    Published("sims", "unaligned_39.pkl", "c9e20c13", "a00c73e92f66896403c09dbad63e242d5af756f8"),
)


def identify(path: Path) -> tuple[str, Published | None]:
    """SHA-256 of a file, and the published file it is a copy of, if any."""
    status = path.stat()
    sha256, sha1 = _digests(path, status.st_size, status.st_mtime_ns)
    for published in PUBLISHED:
        if sha256.startswith(published.sha256) or sha1 == published.sha1:
            return sha256, published
    return sha256, None


@lru_cache
def _digests(path: Path, size: int, changed: int) -> tuple[str, str]:
    """SHA-256 and SHA-1 in one pass; ``size`` and ``changed`` are part of the cache key only."""
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            sha1.update(chunk)
    return sha256.hexdigest(), sha1.hexdigest()
