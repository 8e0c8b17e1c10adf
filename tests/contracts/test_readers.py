"""What every registered reader has to do. A new reader joins with a class that writes its files."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import own_files
import pytest

from mmsa.data.corpus import SPLITS, Corpus, Features, Split, Strings
from mmsa.data.generated import pickles
from mmsa.data.generated.acted import crema_names, write_crema
from mmsa.data.generated.classes import write_meld, write_mintrec, write_urfunny
from mmsa.data.generated.csd import csd_id, write_csd
from mmsa.data.generated.eatd import write_eatd_person
from mmsa.data.generated.interviews import write_daic_person, write_edaic_person, write_table
from mmsa.data.generated.videos import write_gcnet
from mmsa.data.generated.vlogs import write_arrays
from mmsa.data.readers import LAYOUTS
from mmsa.data.readers.base import pseudonym
from mmsa.data.store import write_store
from mmsa.errors import DataError
from mmsa.testing import Case, ReaderContract, Recording


class TestNpz(ReaderContract):
    CASES = {"npz": {}}
    ALIGNED = True

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        columns = {
            "id": [row.id for row in rows],
            "video_id": [row.group for row in rows],
            "split": [row.split for row in rows],
            "raw_text": [row.text for row in rows],
            "label": [row.label for row in rows],
            "length": [len(row.audio) for row in rows],
            "audio": np.concatenate([row.audio for row in rows]),
            "vision": np.concatenate([row.vision for row in rows]),
        }
        with path.open("wb") as file:
            np.savez(file, **columns)


class TestMmsa(ReaderContract):
    CASES = {"mmsa": {}, "pickle": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mmsa(path, rows)


class TestMisa(ReaderContract):
    CASES = {"misa": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_misa(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=pickles.misa_id(row))


class TestMagBert(TestMisa):
    CASES = {"mag_bert": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mag_bert(path, rows)


class TestMmim(ReaderContract):
    CASES = {"mmim": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mmim(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=pickles.mmim_id(row))


class TestMult(ReaderContract):
    CASES = {"mult": {}, "multibench": {}}
    KEEPS = ("audio", "vision")

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        pickles.write_mult(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=pickles.mmim_id(row))


class TestStore(ReaderContract):
    CASES = {"store": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        splits = {}
        for split in SPLITS:
            chosen = [row for row in rows if row.split == split]
            if chosen:
                splits[split] = Split(
                    np.array([row.id for row in chosen]),
                    np.array([row.group for row in chosen]),
                    np.array([row.label for row in chosen], np.float32),
                    Strings(np.array([row.text for row in chosen])),
                    Features.from_rows([row.audio for row in chosen], 3),
                    Features.from_rows([row.vision for row in chosen], 2),
                )
        write_store(path, Corpus("mosi", (-3.0, 3.0), splits, "mosi"), "recordings", {}, {})

    def test_a_file_that_was_cut_is_refused(self, case: Case, path: Path) -> None:
        for file in (path / "card.json", path / "train.audio.npy", path / "train.ids.npy"):
            content = file.read_bytes()
            for kept in (0, len(content) // 2):
                file.write_bytes(content[:kept])
                with pytest.raises(DataError):
                    self.reader(case, path).read(("train", "valid"))
            file.write_bytes(content)


class TestGcnet(ReaderContract):
    CASES = {"gcnet": {"audio_features": "egemaps", "vision_features": "faces"}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        write_gcnet(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=pickles.mmim_id(row))

    def cut(self, path: Path) -> Path:
        return path / "CMUMOSI_features_raw_2way.pkl"


class TestMeld(ReaderContract):
    CASES = {"meld": {}}
    KEEPS = ("text",)

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        write_meld(path, rows)

    def kept(self, row: Recording) -> Recording:
        group, number = row.id.split("$_$")
        group = f"{row.split}-dia{group}"
        return replace(row, id=f"{group}_utt{number}", group=group, label=4.0 if row.label > 0 else 3.0)

    def cut(self, path: Path) -> Path:
        return path / "train_sent_emo.csv"


class TestMIntRec(ReaderContract):
    CASES = {"mintrec": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        write_mintrec(path, rows)

    def kept(self, row: Recording) -> Recording:
        season, number = row.id.split("$_$")
        return replace(
            row, id=f"{season}_E01_{number}", group=f"{season}_E01", label=1.0 if row.label > 0 else 0.0
        )

    def cut(self, path: Path) -> Path:
        return path / "audio_feats.pkl"


class TestUrFunny(ReaderContract):
    CASES = {"urfunny": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        write_urfunny(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, group=row.id, label=float(row.label > 0))

    def cut(self, path: Path) -> Path:
        return path / "language_sdk.pkl"


class TestEDaic(ReaderContract):
    CASES = {"edaic": {"window": "none", "speech": "all", "pseudonyms": False}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        path.mkdir()
        for row in map(self.kept, rows):
            voice, face = ((np.arange(len(frames)) / 100.0, frames) for frames in (row.audio, row.vision))
            write_edaic_person(path, row.id, [(0.0, 9.0, row.text)], {"egemaps": voice}, face)
        for split, name in (("train", "train"), ("valid", "dev"), ("test", "test")):
            chosen = [row for row in rows if row.split == split]
            table = [{"Participant_ID": row.id, "PHQ_Score": row.label, "PHQ_Binary": 0} for row in chosen]
            if chosen:
                write_table(path / f"{name}_split.csv", table)

    def kept(self, row: Recording) -> Recording:
        audio = np.pad(row.audio, [(0, 0), (0, 20)], constant_values=2.0)
        vision = np.pad(row.vision, [(0, 0), (0, 47)], constant_values=2.0)
        return replace(row, group=row.id, audio=audio, vision=vision)

    def cut(self, path: Path) -> Path:
        return path / "train_split.csv"


class TestDaic(ReaderContract):
    CASES = {"daic": {"window": "none", "speech": "all", "pseudonyms": False}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        path.mkdir()
        for row in map(self.kept, rows):
            said = [(0.0, 9.0, "Participant", row.text)]
            voice = row.audio if len(row.audio) else None
            write_daic_person(path, row.id, said, voice, (np.arange(len(row.vision)) / 30.0, row.vision))
        files = {"train": "train_split_Depression_AVEC2017", "valid": "dev_split_Depression_AVEC2017"}
        for split in ("train", "valid", "test"):
            chosen = [row for row in rows if row.split == split]
            table = [{"Participant_ID": row.id, "PHQ8_Score": row.label, "PHQ8_Binary": 0} for row in chosen]
            if chosen:
                write_table(path / f"{files.get(split, 'full_test_split')}.csv", table)

    def kept(self, row: Recording) -> Recording:
        return replace(row, group=row.id, audio=np.pad(row.audio, [(0, 0), (0, 71)], constant_values=2.0))

    def cut(self, path: Path) -> Path:
        return path / "train_split_Depression_AVEC2017.csv"


class TestDVlog(ReaderContract):
    CASES = {"dvlog": {}}
    KEEPS = ("audio", "vision")
    ALIGNED = True
    VOICE, PLACES = 25, ("{0}/{0}_acoustic.npy", "{0}/{0}_visual.npy")

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        for row in map(self.kept, rows):
            write_arrays(
                path, dict(zip((p.format(row.id) for p in self.PLACES), (row.audio, row.vision), strict=True))
            )
        table = [{"index": row.id, "label": int(row.label > 0), "fold": row.split} for row in rows]
        write_table(path / "labels.csv", table)

    def kept(self, row: Recording) -> Recording:
        audio, vision = (
            np.pad(row.audio, [(0, 0), (0, self.VOICE - 3)]),
            np.pad(row.vision, [(0, 0), (0, 134)]),
        )
        return replace(row, group=row.id, label=float(row.label > 0), audio=audio, vision=vision)

    def cut(self, path: Path) -> Path:
        return path / "labels.csv"


class TestLmvd(TestDVlog):
    CASES = {"lmvd": {}}
    VOICE, PLACES = 128, ("audio/{0}.npy", "visual/{0}_visual.npy")


class TestEatd(ReaderContract):
    CASES = {"eatd": {"pseudonyms": False}}
    SPLITS = ("train", "valid")
    KEEPS = ("text",)

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        for row in rows:
            answers = row.text.split(" ", 2)
            write_eatd_person(path, self.kept(row).id, answers, row.label)

    def rows(self, seed: int = 0) -> list[Recording]:
        return [row for row in super().rows(seed) if row.split != "test"]

    def kept(self, row: Recording) -> Recording:
        group, number = row.id.split("$_$")
        name = f"{'t' if row.split == 'train' else 'v'}_{group.rpartition('-')[2]}{number}"
        return replace(row, id=name, group=name)

    def test_a_file_that_was_cut_is_refused(self, case: Case, path: Path) -> None:
        (path / "t_00" / "new_label.txt").write_text("")
        with pytest.raises(DataError, match="t_00: ''; each file must hold one number"):
            self.reader(case, path).read(("train", "valid"))


@pytest.mark.skipif(importlib.util.find_spec("h5py") is None, reason="needs h5py: pip install 'mmsa[hdf5]'")
class TestCsd(ReaderContract):
    CASES = {"csd": {}}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        write_csd(path, rows)

    def kept(self, row: Recording) -> Recording:
        return replace(row, id=csd_id(row))

    def cut(self, path: Path) -> Path:
        return path / "CMU_MOSI_COVAREP.csd"


class TestCremaD(ReaderContract):
    CASES = {"crema_d": {}}
    KEEPS = ("audio", "vision")

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        write_crema(path, rows)

    def kept(self, row: Recording) -> Recording:
        rows = self.rows()
        name, actor = crema_names(rows)[[other.id for other in rows].index(row.id)]
        shown = pseudonym(name, b"crema_d")
        return replace(row, id=shown, group=actor, label=3.0 if row.label > 0 else 5.0)

    def cut(self, path: Path) -> Path:
        return path / "summaryTable.csv"

    @pytest.mark.parametrize("pseudonyms", [True, False])
    def test_ids_tell_the_emotion_only_where_names_are_asked_for(
        self, case: Case, path: Path, pseudonyms: bool
    ) -> None:
        ids = self.reader(case, path, pseudonyms=pseudonyms).outlines()["test"].ids
        assert any("HAP" in name or "SAD" in name for name in ids.tolist()) is not pseudonyms

    def test_a_sealed_test_split_changes_nothing_that_a_search_sees(
        self, case: Case, path: Path, tmp_path: Path
    ) -> None:
        """Frames of test are others; its labels are those of the names of its clips."""
        rows = [replace(row, audio=-row.audio) if row.split == "test" else row for row in self.rows()]
        self.write(case, tmp_path / "other", rows)
        ours, other = (self.reader(case, file) for file in (path, tmp_path / "other"))
        for split in ("train", "valid"):
            assert ours.read((split,))[split].digest == other.read((split,))[split].digest
        assert ours.read(("test",))["test"].digest != other.read(("test",))["test"].digest


class TestCustom(ReaderContract):
    CASES = {f"custom/{format}": {} for format in own_files.FORMATS}

    def write(self, case: Case, path: Path, rows: Sequence[Recording]) -> None:
        own_files.write_own(path, rows, case.id.partition("/")[2])

    def cut(self, path: Path) -> Path:
        files = (
            [path] if path.is_file() else [file for file in path.iterdir() if file.suffix in (".csv", ".tsv")]
        )
        return files[0]


def test_every_layout_has_a_class() -> None:
    tested = {
        case.name
        for suite in (*ReaderContract.__subclasses__(), TestMagBert, TestLmvd)
        for case in suite.cases()
    }
    # Which have no valid: test_foreign_pickles.py, test_mustard.py and test_clinics.py.
    assert tested == set(LAYOUTS) - {"poria", "mustard", "cmdc", "mpdd"}
