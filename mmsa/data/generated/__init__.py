"""Trees in the genuine layouts of data sets, with invented people and a planted truth.

Real files may not be shipped, and most are given to nobody but who signs for them. What is written here has
their names, columns, types and defects, so that readers, checks and whole searches can be tried without them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmsa.data.generated import pickles
from mmsa.data.generated.hazards import COMMON, Hazard, planted
from mmsa.data.generated.recordings import CEILING, FEWEST_ROWS, Recording, invent
from mmsa.errors import ConfigError, Problem, did_you_mean

CARD = "invented.json"
"""Name of the file in each tree that says that its people are invented, and what was planted."""

Write = Callable[[Path, Sequence[Recording], Collection[str]], None]


@dataclass(frozen=True)
class GeneratedLayout:
    """A layout that can be written.

    Attributes:
        data_set: the ``data.name`` that opens it.
        write: writes rows to a path, with the hazards that only a file of this layout can have.
        file: name of the file in the tree; empty where the layout is a folder.
        dims: of audio and vision.
        aligned: whether rows have a frame for each word.
        hazards: what can be planted.
        settings: of ``data``, without which it does not open.
        usual: parts of warnings that every file of the layout gives, whatever is in it.
        fewest: rows that a tree must have.
    """

    data_set: str
    write: Write
    file: str = ""
    dims: tuple[int, int] = (5, 20)
    aligned: bool = False
    hazards: Mapping[str, Hazard] = field(default_factory=lambda: COMMON)
    settings: Mapping[str, object] = field(default_factory=dict)
    usual: tuple[str, ...] = ()
    fewest: int = FEWEST_ROWS


_TRAIN_MIX = Hazard(
    "a key for a split that is none", "not read, since their names are none of a split: train_mix"
)
_ZERO_FRAME = Hazard("frames of zeros that were not counted", "another number of frames than is stored")
_ZERO_TEXT = Hazard("rows whose words are all zeros", "rows have no text")

LAYOUTS: Mapping[str, GeneratedLayout] = {
    "mmsa": GeneratedLayout(
        "mosi", pickles.write_mmsa, "unaligned_50.pkl", hazards=COMMON | {"train_mix": _TRAIN_MIX}
    ),
    "misa": GeneratedLayout("mosi", pickles.write_misa, dims=(74, 47), aligned=True),
    "misa_mosei": GeneratedLayout("mosei", pickles.write_misa_mosei, dims=(74, 35), aligned=True),
    "mmim": GeneratedLayout("mosi", pickles.write_mmim, hazards=COMMON | {"zero_frame": _ZERO_FRAME}),
    "mag_bert": GeneratedLayout("mosi", pickles.write_mag_bert, "mosi.pkl", dims=(74, 47), aligned=True),
    "mult": GeneratedLayout(
        "mosi", pickles.write_mult, "mosi_data.pkl", aligned=True, hazards=COMMON | {"zero_text": _ZERO_TEXT}
    ),
}


def make(layout: str, out: Path, rows: int, seed: int, hazards: Sequence[str] = ()) -> dict[str, str]:
    """Write a tree of a layout.

    Args:
        layout: name of one of ``LAYOUTS``.
        out: folder to write, which must not hold anything yet.
        rows: number of rows, or of participants.
        seed: of everything that is drawn.
        hazards: names of what to plant; ``all`` is everything that the layout can have.

    Returns:
        What was planted, in words, by the name of the hazard.

    Raises:
        ConfigError: for an unknown layout or hazard, a folder that is not empty, too few rows.
    """
    known = LAYOUTS.get(layout)
    if known is None:
        raise _wrong("layout", layout, "is not a layout that can be made", did_you_mean(layout, LAYOUTS))
    chosen = list(known.hazards) if list(hazards) == ["all"] else [name for name in hazards if name != "none"]
    for name in chosen:
        if name not in known.hazards:
            raise _wrong("hazards", name, f"is not a hazard of {layout}", did_you_mean(name, known.hazards))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _wrong("out", str(out), "must be a new or an empty folder", "Nothing is overwritten.")
    try:
        recordings = invent(rows, seed, known.dims, aligned=known.aligned)
    except ValueError as error:
        raise _wrong("rows", rows, str(error), "Ask for more.") from None
    out.mkdir(parents=True, exist_ok=True)
    known.write(
        out / known.file if known.file else out, planted(recordings, known.hazards, chosen, seed), chosen
    )
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
