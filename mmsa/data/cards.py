"""What is known of each data set of the field: its task, sizes, terms of use, and whom to ask for it.

Only figures that were counted, read in public code or in an abstract are given; others are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mmsa.data.corpus import SplitName
from mmsa.data.known_targets import (
    ACTED,
    DEPRESSED,
    EMOTION,
    HUMOR,
    IEMOCAP,
    INTENT,
    PHQ9,
    SARCASM,
    SCORE,
    SDS,
)
from mmsa.data.target_spec import TargetSpec

_UNLICENSED = "no open licence; research use, no passing on"
_SIGNED = "a licence to sign; no passing on, wherever copies are found"
_MMSA = "the README of the GitHub repository thuiar/MMSA says where to get the features"
_CMU = f"{_MMSA}; access to the recordings is given by the CMU MultiComp Lab"
_USC = "dcapswoz.ict.usc.edu"


@dataclass(frozen=True)
class Card:
    """One data set.

    Attributes:
        name: as in ``data.name``.
        title: its name and what it is.
        target: what is predicted by default.
        selection: the metric by which the field chooses or reports.
        groups: what must not lie in two splits.
        licence: terms, as far as they are known.
        ask: where to ask for it.
        expected: files or folders in which it is published.
        counts: rows of the published split, as far as they are known; several figures are variants.
        total: rows altogether, where no split is fixed.
        notes: traps that a user must know.
    """

    name: str
    title: str
    target: TargetSpec
    selection: str
    groups: str
    licence: str
    ask: str
    expected: tuple[str, ...]
    counts: Mapping[SplitName, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    total: int | None = None
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """The card in lines for a terminal."""
        lines = [f"{self.name}: {self.title}", f"  task       {task_of(self.target)}"]
        lines.append(f"  metrics    suite {self.target.suite}; chosen by {self.selection}")
        known = [f"{name} {' or '.join(map(str, counts))}" for name, counts in self.counts.items()]
        known += [f"{self.total} in all"] if self.total else []
        lines.append(f"  rows       {', '.join(known) or 'not known from a source that could be checked'}")
        lines += [f"  groups     {self.groups}", f"  licence    {self.licence}"]
        lines += [f"  expected   {name}" for name in self.expected]
        lines.append(f"  ask        {self.ask}")
        lines += [f"  note       {note}" for note in self.notes]
        return "\n".join(lines)


def task_of(target: TargetSpec) -> str:
    """A target in words."""
    if target.is_scale:
        what = f"{target.kind} in [{target.low:g}, {target.high:g}]"
        return what if target.threshold is None else f"{what}, positive from {target.threshold:g}"
    return f"{target.kind} of {', '.join(target.classes)}"


def _splits(train: int, valid: int = 0, test: int = 0) -> dict[SplitName, tuple[int, ...]]:
    counts: dict[SplitName, int] = {"train": train, "valid": valid, "test": test}
    return {name: (count,) for name, count in counts.items() if count}


_POLARITY = TargetSpec("label", low=-3.0, high=3.0, suite="mosi")
_SIMS = TargetSpec("label", low=-1.0, high=1.0, suite="sims")

_ALL = (
    Card(
        "mosi",
        "CMU-MOSI, opinions from 93 film reviews (Zadeh et al. 2016)",
        _POLARITY,
        "MAE",
        "video",
        _UNLICENSED,
        _CMU,
        (
            "MOSI/Processed/unaligned_50.pkl",
            "MOSI/Processed/aligned_50.pkl",
            "an npz file of all utterances",
        ),
        {"train": (1284, 1283), "valid": (229,), "test": (686,)},
        notes=("features of mosi_utterance.npz under `vision` were learnt with labels: use split_context",),
    ),
    Card(
        "mosei",
        "CMU-MOSEI, opinions on many topics (Zadeh et al. 2018)",
        _POLARITY,
        "MAE",
        "video",
        _UNLICENSED,
        _CMU,
        ("MOSEI/Processed/unaligned_50.pkl", "MOSEI/Processed/aligned_50.pkl"),
        _splits(16_326),
        notes=("COVAREP holds -inf",),
    ),
    Card(
        "sims",
        "CH-SIMS, clips of Chinese films and shows with a label for each modality (Yu et al. 2020)",
        _SIMS,
        "MAE",
        "video",
        _UNLICENSED,
        _MMSA,
        ("SIMS/Processed/unaligned_39.pkl",),
        _splits(1368),
    ),
    Card(
        "simsv2",
        "CH-SIMS v2, its supervised part (Liu et al. 2022)",
        _SIMS,
        "MAE",
        "video",
        _UNLICENSED,
        "ask the authors, who maintain the GitHub repository thuiar/ch-sims-v2",
        ("sims_unaligned.pkl", "ch-simsv2s.pkl"),
        _splits(2722),
        notes=("train_mix has rows without labels after the 2,722 supervised ones, with a mask",),
    ),
    Card(
        "pom",
        "POM, 903 film reviews, each with seventeen ratings of speaker and speech (Park et al. 2014)",
        # Means over raters of a scale from 1; some of the published ones lie below 1.
        TargetSpec("label", low=0.0, high=7.0),
        "MAE",
        "video",
        _UNLICENSED,
        "the GitHub repository pliang279/MFN has its features; access to the recordings is given by USC ICT",
        ("an npz file with audio, vision, labels, label_names and split",),
        _splits(600, 100, 203),
    ),
    Card(
        "mmmo",
        "ICT-MMMO, film reviews with the score of their speaker",
        TargetSpec("label"),
        "MAE",
        "video",
        _UNLICENSED,
        "the GitHub repository pliang279/MFN has its features",
        ("an npz file, or the features of MFN",),
        notes=("features are saturated at +-255 here and there",),
    ),
    Card(
        "iemocap",
        "IEMOCAP, acted dialogues in five sessions",
        IEMOCAP[0],
        "accuracy and weighted F1 of each head",
        "session (leave one out); speaker",
        _SIGNED,
        "sail.usc.edu/iemocap",
        ("iemocap_data.pkl (MulT: four binary labels, not four classes)", "IEMOCAP_features_raw_4way.pkl"),
        total=5531,
        notes=(
            "MulT's labels are four binary heads; happy and excited are merged in the four classes of others",
        ),
    ),
    Card(
        "meld",
        "MELD, dialogues of the series Friends",
        EMOTION,
        "weighted F1",
        "dialogue",
        _UNLICENSED,
        "the GitHub repository declare-lab/MELD",
        ("a folder with train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, and features",),
        _splits(9989, 1109, 2610),
        notes=("the released features were selected with the help of labels",),
    ),
    Card(
        "urfunny",
        "UR-FUNNY, punchlines of TED talks with their context",
        HUMOR,
        "accuracy",
        "speaker",
        _UNLICENSED,
        "the GitHub repository ROC-HCI/UR-FUNNY",
        ("a folder with data_folds.pkl and five pickles more",),
        _splits(7614),
        notes=("contexts may be empty",),
    ),
    Card(
        "mustard",
        "MUStARD, sarcasm in series",
        SARCASM,
        "weighted F1",
        "speaker",
        _UNLICENSED,
        "the GitHub repository soujanyaporia/MUStARD",
        ("a folder with data/sarcasm_data.json, audio_features.p and features/",),
        notes=(
            "it has no split but five folds, which share speakers: deal folds by speaker, or name one of "
            "them in data.split",
            "that audio is (283, T) is not verified",
        ),
    ),
    Card(
        "mintrec",
        "MIntRec, intents in a series",
        INTENT,
        "accuracy, and macro-F1",
        "episode",
        _UNLICENSED,
        "the GitHub repository thuiar/MIntRec",
        ("a folder with train.tsv, dev.tsv and test.tsv, and pickles of features",),
        notes=("20 intents in two groups; the reference cuts an over-long clip to one row",),
    ),
    Card(
        "crema_d",
        "CREMA-D, 91 actors say twelve sentences, 7,442 clips in six emotions",
        ACTED,
        "unweighted average recall, and accuracy",
        "actor",
        "Open Database License",
        "the GitHub repository CheyneyComputerScience/CREMA-D",
        ("a folder with the tables of votes and demographics, and features",),
        total=7442,
        notes=(
            "the usual split shares actors: here actors are dealt to train, valid and test by digests",
            "votes for sound, picture and both stand beside the emotion that was acted, ties (A:D) missing",
            "it has recordings and no features: make audio/<clip>.npy and vision/<clip>.npy of them",
            "names of its tables and their columns are not verified",
        ),
    ),
    Card(
        "edaic",
        "E-DAIC (AVEC 2019 DDS), interviews with a virtual interviewer",
        SCORE,
        "CCC",
        "participant",
        _SIGNED,
        _USC,
        ("a folder with train_split.csv, dev_split.csv, test_split.csv and <id>_P/",),
        _splits(163, 56, 56),
        notes=(
            "20 people with a score of 10 or more have a binary label of 0: choose column or threshold",
            "test is of autonomous interviews only",
            "shares people with DAIC-WOZ: no pooling, pretraining or priors across the two",
        ),
    ),
    Card(
        "daic",
        "DAIC-WOZ (AVEC 2017), interviews with an interviewer who is steered",
        SCORE,
        "macro-F1",
        "participant",
        _SIGNED,
        _USC,
        ("a folder with train_split_Depression_AVEC2017.csv, dev_..., full_test_split.csv and <id>_P/",),
        _splits(107, 35, 47),
        notes=(
            "participants 342, 394, 398 and 460 do not exist; 409 has score 10 and binary label 0",
            "the interviewer's turns alone predict the label: use participant speech only",
            "shares people with E-DAIC",
        ),
    ),
    Card(
        "dvlog",
        "D-Vlog, video logs of 816 speakers",
        DEPRESSED,
        "weighted F1, and F1 of the positive class",
        "none known: no column of speakers, so splits cannot be shown to be disjoint",
        "a form of its authors",
        "the authors",
        ("a folder with labels.csv and <n>/<n>_acoustic.npy, <n>_visual.npy",),
        _splits(647, 102, 212),
        notes=("calling everybody depressed has F1 .732",),
    ),
    Card(
        "lmvd",
        "LMVD, 1,823 video logs",
        DEPRESSED,
        "macro-F1",
        "none known",
        "see its page",
        "figshare 25698351",
        ("a folder with labels.csv, audio/<id>.npy and visual/<id>_visual.npy",),
        total=1823,
        notes=("ids have leading zeros; calling everybody depressed has F1 .665",),
    ),
    Card(
        "eatd",
        "EATD, answers of 162 students to three questions, in Chinese",
        SDS,
        "macro-F1, and MAE",
        "participant",
        _UNLICENSED,
        "the README of EATD-Corpus",
        ("a folder with t_<n>/ and v_<n>/",),
        {"train": (83,), "valid": (79,)},
        162,
    ),
    Card(
        "cmdc",
        "CMDC, interviews in Chinese",
        PHQ9,
        "F1, and RMSE",
        "participant",
        _SIGNED,
        "IEEE DataPort",
        ("a folder of participants, HC<n> and MDD<n>, with Q<k>.txt, audio/Q<k>.npy and vision/Q<k>.npy",),
        notes=("how its files are called and what they hold is not verified: see mmsa/data/readers/cmdc.py",),
    ),
    Card(
        "mpdd",
        "MPDD 2025, elderly and young people, two, three or five classes",
        DEPRESSED,
        "weighted F1",
        "participant",
        _SIGNED,
        "the organisers of the challenge",
        ("the folder of a track with Training/labels/<one>.json and Training/<clip>/Audio/<features>/",),
        notes=(
            "110 elderly and 110 young people are two tracks; name the folder of one",
            "there is no valid: search on folds; test is without labels",
            "how its files are called and what they hold is not verified: see mmsa/data/readers/mpdd.py",
        ),
    ),
)
CARDS: Mapping[str, Card] = MappingProxyType({card.name: card for card in _ALL})
"""All cards by ``data.name``."""
