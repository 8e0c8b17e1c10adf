"""The data sets that mmsa knows by name, and the registry they are in."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mmsa.config import Named, expand_path
from mmsa.data.corpus import Corpus, DataSet, ModalityName, SplitName
from mmsa.data.custom import CustomFileConfig, is_custom
from mmsa.data.folds import FoldsConfig, present_splits, with_folds
from mmsa.data.hazards import warn_about_features, warn_about_labels
from mmsa.data.isolation import read_apart
from mmsa.data.known_targets import DEPRESSED, EMOTION, HUMOR, IEMOCAP, INTENT, SCORE, SDS
from mmsa.data.planted import Planted
from mmsa.data.published import identify
from mmsa.data.readers import LAYOUTS, FileConfig, Reader
from mmsa.data.readers.settings import (
    ContextConfig,
    DaicConfig,
    EatdConfig,
    EDaicConfig,
    TextConfig,
    VlogConfig,
)
from mmsa.data.readers.sniffing import recognise
from mmsa.data.store import is_store
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import check_splits, raise_data_error
from mmsa.errors import DataError, Problem
from mmsa.registry import Registry

logger = logging.getLogger("mmsa.data")

DATA_SETS: Registry[DataSet] = Registry("data set")
DATA_SETS.register("planted")(Planted)

_MMSA_PROJECT = "the README of the GitHub repository thuiar/MMSA says where to get it"
_CMU = f"{_MMSA_PROJECT}; access to the recordings is given by the CMU MultiComp Lab"


def open_corpus(config: Named, splits: Sequence[SplitName] = ("train", "valid")) -> Corpus:
    """Open the named splits of a data set; of the others only ids, groups and widths are read.

    With ``data.folds`` train and valid are pooled and dealt, if train is among them.

    Raises:
        DataError: for a file that is missing, damaged, or not what the block says.
    """
    corpus = DATA_SETS[config.name](config).open(splits)
    folds: FoldsConfig | None = getattr(config, "folds", None)
    return corpus if folds is None or "train" not in splits else with_folds(corpus, folds)


class NamedFileConfig(FileConfig, Named):
    """Where the file of a data set is and what of it is used."""


class FileDataSet(DataSet):
    """Base of the data sets that are published as files.

    Attributes:
        expected: names of the published files.
        source: where to ask for them.
        target: what is predicted, of files that do not say it; None for a number within ``label_range``.
    """

    expected: ClassVar[tuple[str, ...]]
    source: ClassVar[str]
    target: ClassVar[TargetSpec | None] = None

    def __init__(self, config: NamedFileConfig):
        self.config = config
        self.name = config.name

    def open(self, splits: Sequence[SplitName]) -> Corpus:
        """Read the named splits in a process of their own, check them, and log what is unusual.

        Raises:
            DataError: for a file that is missing, damaged, or not what the configuration says.
        """
        path = self._path()
        self._identify(path)
        reader = self._reader(path)
        if self.config.folds is not None:
            (there,) = read_apart(reader, ("outlines", []))
            splits = present_splits(splits, there)
        # One request for both calls: they share the reader, which parses a pickle once.
        opened, outlines, targets, digests = read_apart(
            reader, ("read", [splits]), ("outlines", []), ("targets", []), ("digests", [splits])
        )
        targets = self._scored(targets)
        check_splits(opened, targets, str(path), self.config.allow_shared_groups, outlines)
        for name, split in opened.items():
            split.know_digest(digests.get(name))
            warn_about_labels(split, f"{path.name} {name}")
            warn_about_features(split, f"{path.name} {name}")
        for name in outlines.keys() - opened.keys():
            for problem in outlines[name].problems:
                logger.warning("%s %s cannot be opened as it is: %s", path.name, name, problem)
        if "test" not in outlines:
            logger.warning(
                "%s has no test split: what is found can be searched, but not retrained", path.name
            )
        return Corpus(self.name, targets[0].scale, opened, targets[0].suite, outlines, targets)

    def _scored(self, found: tuple[TargetSpec, ...]) -> tuple[TargetSpec, ...]:
        """The targets of the file, or the one of the data set, scored as the configuration says.

        Raises:
            DataError: for metrics that are not of the kind of the primary target.
        """
        primary, *further = found or (self._own_target(),)
        metrics = self.config.metrics
        if metrics == "auto":
            return primary, *further
        try:
            return replace(primary, suite=metrics), *further
        except ValueError as error:
            raise DataError(f"data.metrics: {error}") from None

    def _own_target(self) -> TargetSpec:
        if self.target is not None:
            return self.target
        low, high = self.label_range
        return TargetSpec("label", low=low, high=high, suite=self.suite)

    def _path(self) -> Path:
        advice = f"The file of {self.name} is {' or '.join(self.expected)}: {self.source}"
        try:
            path = expand_path(self.config.path)
        except DataError as error:
            raise DataError(f"{error}. {advice}") from None
        if not path.exists():
            raise DataError(
                f"{path}: there is no such file or folder (data.path is {self.config.path!r}). {advice}"
            )
        return path

    def _identify(self, path: Path) -> None:
        if path.is_dir():
            return
        digest, published = identify(path)
        logger.info("%s: SHA-256 %s, %s", path, digest, published or "not one of the published files")
        if published and published.data_set != self.name:
            raise DataError(
                f"{path}: is {published}, but data.name is {self.name!r}; write name: {published.data_set}"
            )

    def _reader(self, path: Path) -> Reader:
        layout = self.config.layout
        if layout == "auto":
            layout, path = recognise(path)
        return LAYOUTS[layout](path, self.config)


@DATA_SETS.register("mosi")
class Mosi(FileDataSet):
    """CMU-MOSI: 2,199 opinions from 93 film reviews (Zadeh et al. 2016)."""

    label_range = (-3.0, 3.0)
    suite = "mosi"
    expected = (
        "MOSI/Processed/unaligned_50.pkl",
        "MOSI/Processed/aligned_50.pkl",
        "an npz file of all utterances",
    )
    source = _CMU

    class Config(NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["mosi"] = "mosi"


@DATA_SETS.register("mosei")
class Mosei(FileDataSet):
    """CMU-MOSEI: 22,856 opinions on many topics (Zadeh et al. 2018)."""

    label_range = (-3.0, 3.0)
    suite = "mosi"
    expected = ("MOSEI/Processed/unaligned_50.pkl", "MOSEI/Processed/aligned_50.pkl")
    source = _CMU

    class Config(NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["mosei"] = "mosei"


@DATA_SETS.register("sims")
class Sims(FileDataSet):
    """CH-SIMS: 2,281 clips of Chinese films and shows, with a label for each modality (Yu et al. 2020)."""

    label_range = (-1.0, 1.0)
    suite = "sims"
    expected = ("SIMS/Processed/unaligned_39.pkl",)
    source = _MMSA_PROJECT

    class Config(NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["sims"] = "sims"


@DATA_SETS.register("simsv2")
class SimsV2(FileDataSet):
    """CH-SIMS v2, its supervised part (Liu et al. 2022)."""

    label_range = (-1.0, 1.0)
    suite = "sims"
    expected = ("sims_unaligned.pkl", "ch-simsv2s.pkl")
    source = "ask the authors, who maintain the GitHub repository thuiar/ch-sims-v2"

    class Config(NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["simsv2"] = "simsv2"


_SIGNED = "the licence is given by USC ICT, dcapswoz.ict.usc.edu, and forbids passing anything on"


class _Interviews(FileDataSet):
    """Base of the sets of interviews that are scored with the PHQ-8."""

    label_range = (0.0, 24.0)
    suite = "phq8"
    target = SCORE


@DATA_SETS.register("edaic")
class EDaic(_Interviews):
    """E-DAIC (AVEC 2019 DDS): interviews of 275 people, scored with the PHQ-8."""

    expected = (
        "a folder with train_split.csv, dev_split.csv, test_split.csv and <id>_P for each participant",
    )
    source = _SIGNED

    class Config(EDaicConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["edaic"] = "edaic"


@DATA_SETS.register("daic")
class Daic(_Interviews):
    """DAIC-WOZ (AVEC 2017): interviews of 189 people, scored with the PHQ-8."""

    expected = (
        "a folder with train_split_Depression_AVEC2017.csv, dev_split_Depression_AVEC2017.csv, "
        "full_test_split.csv and <id>_P for each participant",
    )
    source = _SIGNED

    class Config(DaicConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["daic"] = "daic"


class _Vlogs(FileDataSet):
    """Base of the sets of video logs whose label is a class."""

    label_range = (0.0, 1.0)
    suite = "binary"
    target = DEPRESSED


@DATA_SETS.register("dvlog")
class DVlog(_Vlogs):
    """D-Vlog: 961 video logs of 816 speakers, half of them depressed."""

    expected = ("a folder with labels.csv and <i>/<i>_acoustic.npy and <i>_visual.npy for each of them",)
    source = "its authors give it to those who fill in their form"

    class Config(VlogConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["dvlog"] = "dvlog"


@DATA_SETS.register("lmvd")
class Lmvd(_Vlogs):
    """LMVD: 1,823 video logs."""

    expected = ("a folder with labels.csv, audio/<id>.npy and visual/<id>_visual.npy",)
    source = "it is at figshare 25698351"

    class Config(VlogConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["lmvd"] = "lmvd"


@DATA_SETS.register("eatd")
class Eatd(FileDataSet):
    """EATD-Corpus: answers of 162 students to three questions, scored with the SDS."""

    label_range = (25.0, 100.0)
    suite = "phq8"
    target = SDS
    expected = ("a folder with t_<n> and v_<n> for each student",)
    source = "the README of EATD-Corpus says how to get it"

    class Config(EatdConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["eatd"] = "eatd"


@DATA_SETS.register("iemocap")
class Iemocap(FileDataSet):
    """IEMOCAP as MulT has it: whether an utterance is neutral, happy, sad or angry."""

    label_range = (0.0, 1.0)
    suite = "binary"
    target = IEMOCAP[0]
    expected = ("iemocap_data.pkl", "iemocap_data_noalign.pkl")
    source = "the GitHub repository yaohungt/Multimodal-Transformer says where to get it"

    class Config(NamedFileConfig):
        """Where the file is, what of it is used, and which emotion comes first."""

        name: Literal["iemocap"] = "iemocap"


@DATA_SETS.register("meld")
class Meld(FileDataSet):
    """MELD: 13,708 utterances of a series in dialogues, in seven emotions and three polarities."""

    label_range = (0.0, 6.0)
    suite = "multiclass"
    target = EMOTION
    expected = ("a folder with train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv",)
    source = "the GitHub repository declare-lab/MELD has it"

    class Config(TextConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["meld"] = "meld"


@DATA_SETS.register("mintrec")
class MIntRec(FileDataSet):
    """MIntRec: utterances of a series with one of twenty intents."""

    label_range = (0.0, 19.0)
    suite = "multiclass"
    target = INTENT
    expected = ("a folder with train.tsv, dev.tsv, test.tsv, video_feats.pkl and audio_feats.pkl",)
    source = "the GitHub repository thuiar/MIntRec says where to get it"

    class Config(NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["mintrec"] = "mintrec"


@DATA_SETS.register("urfunny")
class UrFunny(FileDataSet):
    """UR-FUNNY: whether the last sentence of a passage is followed by laughter."""

    label_range = (0.0, 1.0)
    suite = "binary"
    target = HUMOR
    expected = ("a folder with data_folds.pkl, language_sdk.pkl and the other pickles",)
    source = "the GitHub repository ROC-HCI/UR-FUNNY says where to get it"

    class Config(ContextConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["urfunny"] = "urfunny"


@DATA_SETS.register("pom")
class Pom(FileDataSet):
    """POM: 903 film reviews, each with seventeen ratings of speaker and speech (Park et al. 2014)."""

    label_range = (0.0, 7.0)  # means over raters of a scale from 1; some of the published ones lie below 1
    suite = "regression"
    expected = ("an npz file with audio, vision, labels, label_names and split",)
    source = (
        "the GitHub repository pliang279/MFN has its features; access to the recordings is given by USC ICT"
    )

    class Config(NamedFileConfig):
        """Where the file is, what of it is used, and which rating is predicted."""

        name: Literal["pom"] = "pom"
        modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = (
            "audio",
            "vision",
        )
        """Which modalities are used; the published features have no text."""
        target: str | None = "sentiment"
        """Which rating is the label, by its name in ``label_names``."""


@DATA_SETS.register("custom")
class Custom(FileDataSet):
    """Data of one's own."""

    label_range = (-math.inf, math.inf)
    suite = "regression"
    expected = ("an npz, safetensors, csv or Parquet file, a folder with a table, or a store",)
    source = "docs/data.md has the layout"

    class Config(CustomFileConfig, NamedFileConfig):
        """Which array or column of a file of one's own is what."""

        name: Literal["custom"] = "custom"

    def _reader(self, path: Path) -> Reader:
        if is_store(path):
            set_here = self.config.model_fields_set & {"id", "groups", "arrays", "targets", "split"}
            problems = [
                Problem(f"data.{name}", "set", "was settled when the store was made", "Leave it out.")
                for name in sorted(set_here)
            ]
            raise_data_error(str(path), problems)
        # An npz file of one's own may have what those of known data sets have not.
        elif self.config.layout == "auto" and is_custom(path):
            return LAYOUTS["custom"](path, self.config)
        return super()._reader(path)
