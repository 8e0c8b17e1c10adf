"""Writer of EATD-Corpus: a folder with three answers and a score for each invented student."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mmsa.data.generated.hazards import Hazard
from mmsa.data.generated.people import Person

EATD_HAZARDS: dict[str, Hazard] = {
    "missing_file": Hazard("a student whose answers are missing", "rows have no text"),
    "missing_label": Hazard("a student without a score", "neither new_label.txt nor label.txt", stops=True),
    "blank_label": Hazard("a file of a score that is empty", "must hold one number", stops=True),
    "raw_scores_only": Hazard("raw scores without the standard ones", ""),
}
_ANSWERS = ("positive", "negative", "neutral")


def write_eatd(path: Path, people: Sequence[Person], hazards: Collection[str] = (), seed: int = 0) -> None:
    """Write the tree of EATD, which has no test: people of test are in valid."""
    for number, person in enumerate(people):
        name = f"{'t' if person.split == 'train' else 'v'}_{number + 1}"
        said = [turn.text for turn in person.turns if turn.participant][:3]
        score = 25 + 75 * person.score / 24  # the scale of the SDS
        write_eatd_person(path, name, [] if number == 0 and "missing_file" in hazards else said, score)
        labels = path / name / "new_label.txt"
        if number == 1 and "missing_label" in hazards:
            labels.unlink()
            (path / name / "label.txt").unlink()
        elif number == 1 and "blank_label" in hazards:
            labels.write_text("")
        elif "raw_scores_only" in hazards:
            labels.unlink()


def write_eatd_person(path: Path, name: str, answers: Sequence[str], score: float) -> None:
    """Write the folder of one student."""
    folder = path / name
    folder.mkdir(parents=True)
    for kind, answer in zip(_ANSWERS, answers, strict=False):
        (folder / f"{kind}.txt").write_text(answer, encoding="utf-8")
    (folder / "new_label.txt").write_text(f"{score}\n")
    (folder / "label.txt").write_text(f"{score / 1.25}\n")
