"""Trees in the genuine layouts of data sets, with invented people and a planted truth.

Real files may not be shipped, and most are given to nobody but who signs for them. What is written here has
their names, columns, types and defects, so that readers, checks and whole searches can be tried without them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmsa.data.corpus import SPLITS, SplitName
from mmsa.data.generated import acted, classes, clinics, csd, eatd, interviews, pickles, videos, vlogs
from mmsa.data.generated.hazards import COMMON, Hazard, planted
from mmsa.data.generated.people import FEWEST_PEOPLE, Person, invent_people
from mmsa.data.generated.recordings import CEILING, FEWEST_ROWS, Recording, invent
from mmsa.errors import ConfigError, Problem, did_you_mean

CARD = "invented.json"
"""Name of the file in each tree that says that its people are invented, and what was planted."""

Write = Callable[[Path, int, int, Collection[str]], None]


@dataclass(frozen=True)
class GeneratedLayout:
    """A layout that can be written.

    Attributes:
        data_set: the ``data.name`` that opens it.
        write: writes so many rows or participants into a folder, from a seed and with the named hazards.
        hazards: what can be planted.
        settings: of ``data``, without which it does not open.
        usual: parts of warnings that every file of the layout gives, whatever is in it.
        fewest: rows or participants that a tree must have.
        splits: that a tree has.
        needs: a package beside those of mmsa, without which it is neither written nor read.
    """

    data_set: str
    write: Write
    hazards: Mapping[str, Hazard]
    settings: Mapping[str, object] = field(default_factory=dict)
    usual: tuple[str, ...] = ()
    fewest: int = FEWEST_ROWS
    splits: tuple[SplitName, ...] = SPLITS
    needs: str = ""

    @property
    def is_lacking(self) -> bool:
        """Whether the package that it needs is not installed."""
        return bool(self.needs) and importlib.util.find_spec(self.needs) is None


def _utterances(
    data_set: str,
    writer: Callable[[Path, Sequence[Recording], Collection[str]], None],
    file: str = "",
    dims: tuple[int, int] = (5, 20),
    aligned: bool = False,
    **hazards: Hazard,
) -> GeneratedLayout:
    """A layout of utterances, with the hazards of all such files and some of its own.

    Args:
        data_set: the ``data.name`` that opens it.
        writer: writes recordings to a path.
        file: name of the file in the tree; empty where the layout is a folder.
        dims: of audio and vision.
        aligned: whether rows have a frame for each word.
        hazards: those that ``writer`` plants.
    """
    known = {**COMMON, **hazards}

    def write(out: Path, count: int, seed: int, chosen: Collection[str]) -> None:
        recordings = planted(invent(count, seed, dims, aligned=aligned), known, tuple(chosen), seed)
        writer(out / file if file else out, recordings, chosen)

    return GeneratedLayout(data_set, write, known)


def _of_layout(
    data_set: str,
    writer: Callable[[Path, Sequence[Recording], Collection[str]], None],
    hazards: Mapping[str, Hazard],
    **settings: object,
) -> GeneratedLayout:
    """A layout of utterances that has hazards of its own only."""

    def write(out: Path, count: int, seed: int, chosen: Collection[str]) -> None:
        writer(out, invent(count, seed), chosen)

    return GeneratedLayout(data_set, write, hazards, settings, ("a speaker is in two splits",))


def _people(
    data_set: str,
    writer: Callable[[Path, Sequence[Person], Collection[str], int], None],
    hazards: Mapping[str, Hazard],
    **settings: object,
) -> GeneratedLayout:
    """A layout of interviews."""

    def write(out: Path, count: int, seed: int, chosen: Collection[str]) -> None:
        writer(out, invent_people(count, seed), chosen, seed)

    # The share of valid frames is 1 everywhere in clean files.
    usual = ("columns are constant", "has no column of speakers", "has no test split", "has no valid split")
    return GeneratedLayout(data_set, write, hazards, settings, usual, FEWEST_PEOPLE)


_TRAIN_MIX = Hazard(
    "a key for a split that is none", "not read, since their names are none of a split: train_mix"
)
_ZERO_FRAME = Hazard("frames of zeros that were not counted", "another number of frames than is stored")
_ZERO_TEXT = Hazard("rows whose words are all zeros", "rows have no text")

LAYOUTS: Mapping[str, GeneratedLayout] = {
    "mmsa": _utterances("mosi", pickles.write_mmsa, "unaligned_50.pkl", train_mix=_TRAIN_MIX),
    "misa": _utterances("mosi", pickles.write_misa, dims=(74, 47), aligned=True),
    "misa_mosei": _utterances("mosei", pickles.write_misa_mosei, dims=(74, 35), aligned=True),
    "mmim": _utterances("mosi", pickles.write_mmim, zero_frame=_ZERO_FRAME),
    "mag_bert": _utterances("mosi", pickles.write_mag_bert, "mosi.pkl", dims=(74, 47), aligned=True),
    "mult": _utterances("mosi", pickles.write_mult, "mosi_data.pkl", aligned=True, zero_text=_ZERO_TEXT),
    "gcnet": _of_layout("mosi", videos.write_gcnet, videos.GCNET_HAZARDS, modalities=["text"]),
    "meld": _of_layout("meld", classes.write_meld, classes.MELD_HAZARDS),
    "mintrec": _of_layout("mintrec", classes.write_mintrec, classes.MINTREC_HAZARDS),
    "urfunny": _of_layout("urfunny", classes.write_urfunny, classes.URFUNNY_HAZARDS),
    "edaic": _people("edaic", interviews.write_edaic, interviews.EDAIC_HAZARDS),
    "daic": _people("daic", interviews.write_daic, interviews.DAIC_HAZARDS),
    "eatd": replace(_people("eatd", eatd.write_eatd, eatd.EATD_HAZARDS), splits=("train", "valid")),
    "dvlog": _people("dvlog", vlogs.write_dvlog, vlogs.VLOG_HAZARDS),
    "crema_d": replace(_of_layout("crema_d", acted.write_crema, acted.CREMA_HAZARDS), usual=()),
    "mustard": replace(
        _of_layout("mustard", acted.write_mustard, acted.MUSTARD_HAZARDS, split="0"),
        splits=("train", "test"),
        usual=("has no valid split",),
    ),
    "cmdc": replace(_people("cmdc", clinics.write_cmdc, clinics.CMDC_HAZARDS), splits=("train",)),
    # Test has no categories, as that of a challenge.
    "mpdd": replace(
        _people("mpdd", clinics.write_mpdd, clinics.MPDD_HAZARDS),
        splits=("train",),
        usual=("test cannot be opened as it is", "has no valid split"),
    ),
    "csd": replace(_utterances("mosi", csd.write_csd, "", (74, 47), True, **csd.CSD_HAZARDS), needs="h5py"),
    "lmvd": _people("lmvd", vlogs.write_lmvd, vlogs.VLOG_HAZARDS),
}


def make(layout: str, out: Path, rows: int, seed: int, hazards: Sequence[str] = ()) -> dict[str, str]:
    """Write a tree of a layout.

    Args:
        layout: name of one of ``LAYOUTS``.
        out: folder to write, which must not hold anything yet.
        rows: number of rows, or of participants.
        seed: of everything that is drawn.
        hazards: names of what to plant; ``all`` is everything with which the tree still opens. What it is
            refused for is planted by name, since a refusal would hide the others.

    Returns:
        What was planted, in words, by the name of the hazard.

    Raises:
        ConfigError: for an unknown layout or hazard, a folder that is not empty, too few rows.
    """
    known = LAYOUTS.get(layout)
    if known is None:
        raise _wrong("layout", layout, "is not a layout that can be made", did_you_mean(layout, LAYOUTS))
    chosen = [name for name in hazards if name != "none"]
    if chosen == ["all"]:
        chosen = [name for name, hazard in known.hazards.items() if not hazard.stops]
    for name in chosen:
        if name not in known.hazards:
            raise _wrong("hazards", name, f"is not a hazard of {layout}", did_you_mean(name, known.hazards))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _wrong("out", str(out), "must be a new or an empty folder", "Nothing is overwritten.")
    if rows < known.fewest:
        raise _wrong("rows", rows, f"must be at least {known.fewest}, for three splits", "Ask for more.")
    out.mkdir(parents=True, exist_ok=True)
    known.write(out, rows, seed, chosen)
    said = {name: known.hazards[name].what for name in chosen}
    card = {
        "layout": layout,
        "invented": True,
        "seed": seed,
        "rows": rows,
        "hazards": said,
        "ceiling": CEILING,
    }
    (out / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return said


def _wrong(path: str, value: object, rule: str, advice: str) -> ConfigError:
    return ConfigError("make", [Problem(path, value, rule, advice)])
