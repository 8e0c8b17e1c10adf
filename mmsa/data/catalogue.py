"""The data sets mmsa knows by name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mmsa.config import Block, expand_path
from mmsa.data import hazards
from mmsa.data.corpus import Corpus, ModalityName, SplitName
from mmsa.data.isolation import read_apart
from mmsa.data.planted import Planted
from mmsa.data.published import identify
from mmsa.data.readers import LAYOUTS, FileConfig, Reader
from mmsa.errors import DataError
from mmsa.registry import Registry

logger = logging.getLogger("mmsa.data")

DATA_SETS: Registry[Any] = Registry("data set")
DATA_SETS.register("planted")(Planted)

_MMSA_PROJECT = "the README of the GitHub repository thuiar/MMSA says where to get it"
_CMU = f"{_MMSA_PROJECT}; access to the recordings is given by the CMU MultiComp Lab"


def open_corpus(config: Block, splits: Sequence[SplitName] = ("train", "valid")) -> Corpus:
    """Open the data set of a ``data`` block. Rows of splits that are not named are not read.

    Raises:
        DataError: for a file that is missing, damaged, or not what the block says.
    """
    corpus: Corpus = DATA_SETS[config.name](config).open(splits)  # type: ignore[attr-defined]
    return corpus


class FileDataSet:
    """Base of the data sets that lie in a file.

    label_range: of the published labels. expected: the files it is published as. source: where to ask.
    """

    label_range: ClassVar[tuple[float, float]]
    expected: ClassVar[tuple[str, ...]]
    source: ClassVar[str]

    def __init__(self, config: FileConfig):
        self.config = config
        self.name: str = config.name  # type: ignore[attr-defined]

    def open(self, splits: Sequence[SplitName]) -> Corpus:
        """Read the named splits, repair or refuse what is wrong with them, and log what is unusual."""
        path = self._path()
        self._identify(path)
        (opened,) = read_apart(self._reader(path), ("read", [splits]))
        hazards.check(opened, self.label_range, str(path), self.config.allow_shared_groups)
        for name, split in opened.items():
            hazards.report(split, f"{path.name} {name}")
        return Corpus(self.name, self.label_range, opened)

    def _path(self) -> Path:
        advice = f"The file of {self.name} is {' or '.join(self.expected)}: {self.source}"
        try:
            path = expand_path(self.config.path)
        except DataError as error:
            raise DataError(f"{error}. {advice}") from None
        if not path.is_file():
            raise DataError(f"{path}: there is no such file (data.path is {self.config.path!r}). {advice}")
        return path

    def _identify(self, path: Path) -> None:
        digest, published = identify(path)
        logger.info("%s: SHA-256 %s, %s", path, digest, published or "not one of the published files")
        if published and published.data_set != self.name:
            raise DataError(
                f"{path}: is {published}, but data.name is {self.name!r}; write name: {published.data_set}"
            )

    def _reader(self, path: Path) -> Reader:
        layout = self.config.layout
        return LAYOUTS[_layout_of(path) if layout == "auto" else layout](path, self.config)


def _layout_of(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        return "npz"
    if start[:1] == b"\x80":
        return "mmsa"
    raise DataError(f"{path}: begins with {start!r}, neither as an npz file nor as a pickle; set data.layout")


@DATA_SETS.register("mosi")
class Mosi(FileDataSet):
    """CMU-MOSI: 2,199 opinions from 93 film reviews (Zadeh et al. 2016)."""

    label_range = (-3.0, 3.0)
    expected = (
        "MOSI/Processed/unaligned_50.pkl",
        "MOSI/Processed/aligned_50.pkl",
        "an npz file of all utterances",
    )
    source = _CMU

    class Config(FileConfig):
        """Where the file is and what of it is used."""

        name: Literal["mosi"] = "mosi"


@DATA_SETS.register("mosei")
class Mosei(FileDataSet):
    """CMU-MOSEI: 22,856 opinions on many topics (Zadeh et al. 2018)."""

    label_range = (-3.0, 3.0)
    expected = ("MOSEI/Processed/unaligned_50.pkl", "MOSEI/Processed/aligned_50.pkl")
    source = _CMU

    class Config(FileConfig):
        """Where the file is and what of it is used."""

        name: Literal["mosei"] = "mosei"


@DATA_SETS.register("sims")
class Sims(FileDataSet):
    """CH-SIMS: 2,281 clips of Chinese films and shows, with a label for each modality (Yu et al. 2020)."""

    label_range = (-1.0, 1.0)
    expected = ("SIMS/Processed/unaligned_39.pkl",)
    source = _MMSA_PROJECT

    class Config(FileConfig):
        """Where the file is and what of it is used."""

        name: Literal["sims"] = "sims"


@DATA_SETS.register("simsv2")
class SimsV2(FileDataSet):
    """CH-SIMS v2, its supervised part (Liu et al. 2022)."""

    label_range = (-1.0, 1.0)
    expected = ("sims_unaligned.pkl", "ch-simsv2s.pkl")
    source = "ask the authors, who maintain the GitHub repository thuiar/ch-sims-v2"

    class Config(FileConfig):
        """Where the file is and what of it is used."""

        name: Literal["simsv2"] = "simsv2"


@DATA_SETS.register("pom")
class Pom(FileDataSet):
    """POM: 903 film reviews, each with seventeen ratings of speaker and speech (Park et al. 2014)."""

    label_range = (0.0, 7.0)  # means over raters of a scale from 1; some of the published ones lie below 1
    expected = ("an npz file with audio, vision, labels, label_names and split",)
    source = (
        "the GitHub repository pliang279/MFN has its features; access to the recordings is given by USC ICT"
    )

    class Config(FileConfig):
        """Where the file is, what of it is used, and which rating is predicted."""

        name: Literal["pom"] = "pom"
        modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = (
            "audio",
            "vision",
        )
        """Which modalities are used; the published features have no text."""
        target: str | None = "sentiment"
        """Which rating is the label, by its name in ``label_names``."""
