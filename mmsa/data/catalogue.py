"""The data sets that mmsa knows by name, and the registry they are in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mmsa.config import Named
from mmsa.data.cards import CARDS
from mmsa.data.corpus import Corpus, DataSet, ModalityName, SplitName
from mmsa.data.custom import CustomFileConfig, is_custom
from mmsa.data.files import FileDataSet, NamedFileConfig
from mmsa.data.folds import FoldsConfig, with_folds
from mmsa.data.planted import Planted
from mmsa.data.readers import LAYOUTS, Reader
from mmsa.data.readers.settings import (
    CmdcConfig,
    ContextConfig,
    CremaConfig,
    DaicConfig,
    EatdConfig,
    EDaicConfig,
    FeaturesConfig,
    MpddConfig,
    MustardConfig,
    TextConfig,
    VlogConfig,
)
from mmsa.data.store import is_store
from mmsa.data.target_spec import Suite, TargetSpec
from mmsa.data.validation import raise_data_error
from mmsa.errors import Problem
from mmsa.registry import Registry

DATA_SETS: Registry[DataSet] = Registry("data set")
DATA_SETS.register("planted")(Planted)


def open_corpus(config: Named, splits: Sequence[SplitName] = ("train", "valid")) -> Corpus:
    """Open the named splits of a data set; of the others only ids, groups and widths are read.

    With ``data.folds`` train and valid are pooled and dealt, if train is among them.

    Raises:
        DataError: for a file that is missing, damaged, or not what the block says.
    """
    corpus = DATA_SETS[config.name](config).open(splits)
    folds: FoldsConfig | None = getattr(config, "folds", None)
    return corpus if folds is None or "train" not in splits else with_folds(corpus, folds)


def _scale_of(name: str) -> tuple[tuple[float, float], Suite]:
    target = CARDS[name].target
    return target.scale, target.suite


@DATA_SETS.register("mosi")
class Mosi(FileDataSet):
    """CMU-MOSI: 2,199 opinions from 93 film reviews (Zadeh et al. 2016)."""

    label_range, suite = _scale_of("mosi")

    class Config(FeaturesConfig, NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["mosi"] = "mosi"


@DATA_SETS.register("mosei")
class Mosei(FileDataSet):
    """CMU-MOSEI: 22,856 opinions on many topics (Zadeh et al. 2018)."""

    label_range, suite = _scale_of("mosei")

    class Config(FeaturesConfig, NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["mosei"] = "mosei"


@DATA_SETS.register("sims")
class Sims(FileDataSet):
    """CH-SIMS: 2,281 clips of Chinese films and shows, with a label for each modality (Yu et al. 2020)."""

    label_range, suite = _scale_of("sims")

    class Config(NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["sims"] = "sims"


@DATA_SETS.register("simsv2")
class SimsV2(FileDataSet):
    """CH-SIMS v2, its supervised part (Liu et al. 2022)."""

    label_range, suite = _scale_of("simsv2")

    class Config(NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["simsv2"] = "simsv2"


@DATA_SETS.register("edaic")
class EDaic(FileDataSet):
    """E-DAIC (AVEC 2019 DDS): interviews of 275 people, scored with the PHQ-8."""

    label_range, suite = _scale_of("edaic")

    class Config(EDaicConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["edaic"] = "edaic"


@DATA_SETS.register("daic")
class Daic(FileDataSet):
    """DAIC-WOZ (AVEC 2017): interviews of 189 people, scored with the PHQ-8."""

    label_range, suite = _scale_of("daic")

    class Config(DaicConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["daic"] = "daic"


@DATA_SETS.register("dvlog")
class DVlog(FileDataSet):
    """D-Vlog: 961 video logs of 816 speakers, half of them depressed."""

    label_range, suite = _scale_of("dvlog")

    class Config(VlogConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["dvlog"] = "dvlog"


@DATA_SETS.register("lmvd")
class Lmvd(FileDataSet):
    """LMVD: 1,823 video logs."""

    label_range, suite = _scale_of("lmvd")

    class Config(VlogConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["lmvd"] = "lmvd"


@DATA_SETS.register("eatd")
class Eatd(FileDataSet):
    """EATD-Corpus: answers of 162 students to three questions, scored with the SDS."""

    label_range, suite = _scale_of("eatd")

    class Config(EatdConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["eatd"] = "eatd"


@DATA_SETS.register("iemocap")
class Iemocap(FileDataSet):
    """IEMOCAP as MulT has it: whether an utterance is neutral, happy, sad or angry."""

    label_range, suite = _scale_of("iemocap")

    class Config(FeaturesConfig, NamedFileConfig):
        """Where the file is, what of it is used, and which emotion comes first."""

        name: Literal["iemocap"] = "iemocap"


@DATA_SETS.register("meld")
class Meld(FileDataSet):
    """MELD: 13,708 utterances of a series in dialogues, in seven emotions and three polarities."""

    label_range, suite = _scale_of("meld")

    class Config(TextConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["meld"] = "meld"


@DATA_SETS.register("mintrec")
class MIntRec(FileDataSet):
    """MIntRec: utterances of a series with one of twenty intents."""

    label_range, suite = _scale_of("mintrec")

    class Config(NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["mintrec"] = "mintrec"


@DATA_SETS.register("urfunny")
class UrFunny(FileDataSet):
    """UR-FUNNY: whether the last sentence of a passage is followed by laughter."""

    label_range, suite = _scale_of("urfunny")

    class Config(ContextConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["urfunny"] = "urfunny"


@DATA_SETS.register("mmmo")
class Mmmo(FileDataSet):
    """ICT-MMMO: film reviews with the score of their speaker."""

    label_range, suite = _scale_of("mmmo")

    class Config(NamedFileConfig):
        """Where the file is and what of it is used."""

        name: Literal["mmmo"] = "mmmo"


@DATA_SETS.register("mustard")
class Mustard(FileDataSet):
    """MUStARD: sarcasm in series."""

    label_range, suite = _scale_of("mustard")

    class Config(MustardConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["mustard"] = "mustard"


@DATA_SETS.register("crema_d")
class CremaD(FileDataSet):
    """CREMA-D: sentences said by 91 actors in six emotions."""

    label_range, suite = _scale_of("crema_d")

    class Config(CremaConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["crema_d"] = "crema_d"


@DATA_SETS.register("cmdc")
class Cmdc(FileDataSet):
    """CMDC: interviews in Chinese."""

    label_range, suite = _scale_of("cmdc")

    class Config(CmdcConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["cmdc"] = "cmdc"


@DATA_SETS.register("mpdd")
class Mpdd(FileDataSet):
    """MPDD 2025: elderly and young people in two, three or five classes."""

    label_range, suite = _scale_of("mpdd")

    class Config(MpddConfig, NamedFileConfig):
        """Where the folder is and what of it is used."""

        name: Literal["mpdd"] = "mpdd"


@DATA_SETS.register("pom")
class Pom(FileDataSet):
    """POM: 903 film reviews, each with seventeen ratings of speaker and speech (Park et al. 2014)."""

    label_range, suite = _scale_of("pom")

    class Config(FeaturesConfig, NamedFileConfig):
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

    def _own_target(self) -> TargetSpec:
        return TargetSpec("label")

    def _advice(self) -> str:
        return (
            " Name an npz, safetensors, csv or Parquet file, a folder with a table, or a store; "
            "docs/data.md has the layouts."
        )
