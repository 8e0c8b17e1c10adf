"""Sets of rows by digest, to tell later whether a test split holds rows that a study has seen.

Digests of names travel in study files, exported files and the ledger; the names themselves, which may be
those of patients, do not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mmsa.data.corpus import Corpus, SplitName
from mmsa.errors import DataError
from mmsa.interface import SplitCard

_BYTES = 6  # of each digest: 20,000 rows against 5,000 others meet by chance once in 3 million times


@dataclass(frozen=True)
class RowSet:
    """A set of rows, or of groups of rows, by truncated SHA-256.

    Attributes:
        digests: six bytes for each member.
    """

    digests: frozenset[bytes]

    @classmethod
    def of(cls, origin: str, names: Iterable[str]) -> RowSet:
        """The set of rows (or groups) ``names``; equal names of different ``origin`` are different rows."""
        return cls(
            frozenset(hashlib.sha256(f"{origin}\0{name}".encode()).digest()[:_BYTES] for name in names)
        )

    @classmethod
    def from_text(cls, text: str) -> RowSet:
        """The inverse of ``text``.

        Raises:
            DataError: for any other text.
        """
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            content = b"?"  # of a length that is refused below, with the same message
        if len(content) % _BYTES:
            raise DataError(f"{text[:40]!r} is no set of rows as mmsa writes them")
        return cls(frozenset(content[start : start + _BYTES] for start in range(0, len(content), _BYTES)))

    def text(self) -> str:
        """Sorted digests in base64: equal sets give equal texts."""
        return base64.b64encode(b"".join(sorted(self.digests))).decode()

    def __and__(self, other: RowSet) -> RowSet:
        return RowSet(self.digests & other.digests)

    def __or__(self, other: RowSet) -> RowSet:
        return RowSet(self.digests | other.digests)

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True)
class Rows:
    """Rows of some splits, and the groups they belong to.

    Attributes:
        rows: the rows.
        groups: their videos or speakers.
    """

    rows: RowSet = RowSet(frozenset())
    groups: RowSet = RowSet(frozenset())

    @classmethod
    def of(cls, corpus: Corpus, *splits: SplitName) -> Rows:
        """Rows and groups of the named splits of ``corpus``, open or closed."""
        found = cls()
        for outline in (corpus.outlines[name] for name in splits):
            origin = f"{corpus.name}\0{outline.origin}"
            rows, groups = RowSet.of(origin, outline.ids.tolist()), RowSet.of(origin, outline.groups.tolist())
            found |= cls(rows, groups)
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Rows:
        """The inverse of ``to_dict``."""
        return cls(RowSet.from_text(values["rows"]), RowSet.from_text(values["groups"]))

    def to_dict(self) -> dict[str, str]:
        """JSON-able form."""
        return {"rows": self.rows.text(), "groups": self.groups.text()}

    def __or__(self, other: Rows) -> Rows:
        return Rows(self.rows | other.rows, self.groups | other.groups)


def split_card(corpus: Corpus, name: SplitName) -> SplitCard:
    """What observers are told of an open split."""
    split = corpus[name]
    return SplitCard(name, split.digest, len(split), len(np.unique(split.groups)))
