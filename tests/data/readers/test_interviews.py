"""Interviews: windows, speakers, times and labels, and the known errors of the published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsa.config import parse
from mmsa.data import DATA_SETS, Features, open_corpus
from mmsa.data.generated.interviews import write_daic, write_daic_person, write_edaic, write_table
from mmsa.data.generated.people import invent_people
from mmsa.data.readers import LAYOUTS
from mmsa.data.readers.delimited import read_numbers, read_texts
from mmsa.data.readers.windows import Stream, even_spans, pooled_windows, standardised_stream
from mmsa.errors import DataError

PEOPLE = invent_people(20, seed=4, turns=3)


def reader(layout: str, path: Path, **settings: Any) -> Any:
    config = LAYOUTS[layout].Config.model_validate({"path": str(path), **settings})
    return LAYOUTS[layout](path, config)


@pytest.fixture(scope="module")
def edaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edaic")
    write_edaic(path, PEOPLE)
    return path


@pytest.fixture(scope="module")
def daic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("daic")
    write_daic(path, PEOPLE)
    return path


def test_pooling_is_mean_deviation_and_the_share_of_valid_frames() -> None:
    random = np.random.default_rng(0)
    values = (1000 + random.standard_normal((50, 3))).astype(np.float32)
    values[3, 0], values[7, 1] = -np.inf, np.nan
    valid = random.random(50) < 0.7
    values[~valid] = 0.0
    times = np.arange(50) / 10
    spans = np.array([[0.0, 2.0], [2.0, 2.05], [1.0, 5.0], [7.0, 9.0]])
    found = pooled_windows(Stream(times, values, valid), spans)
    for row, (start, end) in zip(found, spans, strict=True):
        inside = (times >= start) & (times < end)
        known = [column[np.isfinite(column)] for column in values[inside & valid].astype(float).T]
        means = [column.mean() if len(column) else np.nan for column in known]
        deviations = [column.std() if len(column) else np.nan for column in known]
        np.testing.assert_allclose(row[:3], means, rtol=1e-6)
        np.testing.assert_allclose(row[3:6], deviations, atol=1e-4)
        assert row[6] == pytest.approx(valid[inside].mean() if inside.any() else 0)


def test_windows_of_seconds_cover_everything_once() -> None:
    spans = even_spans(2.0, 5.0)
    assert spans.tolist() == [[0, 2], [2, 4], [4, 5]]
    assert even_spans(10.0, 3.0).tolist() == [[0, 10]]


def test_standardising_leaves_out_what_is_not_valid() -> None:
    values = np.array([[1.0, 5], [3, 5], [100, 5], [np.nan, 5]], np.float32)
    found = standardised_stream(Stream(np.arange(4.0), values, np.array([True, True, False, True])))
    assert found.values[:2].tolist() == [[-1, 0], [1, 0]]


def test_windows_are_turns_of_the_participant(daic: Path) -> None:
    whole = reader("daic", daic, window="none", speech="all").read(("train",))["train"]
    train = reader("daic", daic).read(("train",))["train"]
    said = [
        [turn for turn in person.turns if turn.participant] for person in PEOPLE if person.split == "train"
    ]
    assert train.audio.lengths().tolist() == [len(turns) for turns in said]
    assert train.text.values[0] == " ".join(turn.text for turn in said[0])
    assert (train.audio.dim, train.vision.dim) == (149, 41)
    first = said[0][0]
    frames = whole.audio.values[: whole.audio.lengths()[0]]
    inside = frames[int(np.ceil(first.start * 100 - 1e-9)) : int(np.ceil(first.end * 100 - 1e-9))]
    voiced = inside[inside[:, 1] == 1]
    np.testing.assert_allclose(train.audio.values[0, :74], voiced.mean(axis=0), rtol=1e-4)
    assert train.audio.values[0, -1] == pytest.approx(len(voiced) / len(inside))


def test_whose_speech_and_which_windows_are_choices(daic: Path) -> None:
    questions = reader("daic", daic, speech="interviewer").read(("train",))["train"]
    assert questions.text.values[0].startswith("how are you doing today")
    asked = reader("daic", daic).interviewer_text(("train",))["train"]
    assert asked.values.tolist() == questions.text.values.tolist()
    seconds = reader("daic", daic, window="seconds", seconds=1.0, most_windows=3).read(("train",))["train"]
    assert set(seconds.audio.lengths()) == {3}
    person = next(person for person in PEOPLE if person.split == "train")
    frames = reader("daic", daic, window="none").read(("train",))["train"].audio.lengths()[0]
    spoken = sum(turn.end - turn.start for turn in person.turns if turn.participant)
    assert frames == pytest.approx(100 * spoken, abs=4)


def test_normalising_each_participant_takes_the_level_away(daic: Path) -> None:
    settings = {"window": "none", "speech": "all"}
    plain = reader("daic", daic, **settings).read(("train",))["train"].vision
    normal = reader("daic", daic, normalise="participant", **settings).read(("train",))["train"].vision
    first = slice(0, plain.lengths()[0])
    assert plain.values[first].mean() == pytest.approx(10, abs=0.3)
    np.testing.assert_allclose(normal.values[first].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(normal.values[first].std(axis=0), 1, atol=1e-3)


def test_score_binary_answers_and_gender_are_targets(edaic: Path, daic: Path) -> None:
    people = [person for person in PEOPLE if person.split == "train"]
    for layout, path in (("edaic", edaic), ("daic", daic)):
        found = reader(layout, path)
        kinds = {target.name: target.kind for target in found.targets()}
        assert list(kinds)[:3] == ["score", "depressed", "gender"]
        assert kinds["phq8_sleep"] == "ordinal"
        train = found.read(("train",))["train"]
        assert train.labels.tolist() == [person.score for person in people]
        further = train.further_targets
        assert further["depressed"].tolist() == [float(person.score >= 10) for person in people]
        assert further["gender"].tolist() == [float(person.male) for person in people]
        assert further["phq8_moving"].tolist() == [person.answers[7] for person in people]
        assert reader(layout, path, target="depressed").targets()[0].kind == "binary"


def test_the_binary_target_is_the_column_or_a_threshold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_edaic(tmp_path, PEOPLE, ["binary_against_score"])
    by_column = reader("edaic", tmp_path).read(("train",))["train"]
    assert by_column.further_targets["depressed"].sum() == 0
    depressed = int((by_column.labels >= 10).sum())
    assert f"{depressed} people are on one side of a score of 10" in caplog.text
    by_threshold = reader("edaic", tmp_path, depressed="threshold").read(("train",))["train"]
    assert by_threshold.further_targets["depressed"].sum() == depressed
    assert not any(person.id in caplog.text.replace(str(tmp_path), "") for person in PEOPLE)


def test_ids_are_digests_that_need_the_recordings(edaic: Path, daic: Path) -> None:
    shown = reader("edaic", edaic).outlines()["train"].ids
    assert len(set(shown)) == 12
    assert not any(person.id in shown for person in PEOPLE)
    assert shown.tolist() == reader("edaic", edaic).read(("train",))["train"].ids.tolist()
    assert set(shown).isdisjoint(reader("daic", daic).outlines()["train"].ids)
    assert reader("edaic", edaic, pseudonyms=False).outlines()["train"].ids[0] == PEOPLE[0].id


def test_a_missing_file_is_absent_and_not_zeros(tmp_path: Path) -> None:
    write_edaic(tmp_path, PEOPLE, ["missing_file"])
    train = reader("edaic", tmp_path).read(("train",))["train"]
    assert len(train) == 12  # nobody is dropped
    assert train.audio.lengths()[0] == 0
    assert train.vision.lengths()[0] > 0


def test_a_missing_test_split_is_no_obstacle_to_a_search(tmp_path: Path) -> None:
    write_daic(tmp_path, PEOPLE)
    (tmp_path / "full_test_split.csv").unlink()
    blind = [{"participant_ID": person.id, "Gender": 0} for person in PEOPLE if person.split == "test"]
    write_table(tmp_path / "test_split_Depression_AVEC2017.csv", blind)
    found = reader("daic", tmp_path)
    assert len(found.read(("train", "valid"))["valid"]) == 4
    outline = found.outlines()["test"]
    assert len(outline) == 4
    assert "has no column of scores" in str(outline.problems[0])
    assert "full_test_split.csv" in str(outline.problems[0])


def test_bags_of_words_that_are_named_by_a_list_are_refused(tmp_path: Path) -> None:
    write_edaic(tmp_path, PEOPLE)
    features = tmp_path / f"{PEOPLE[0].id}_P" / "features"
    (features / "training_001_BoAW_openSMILE_2.3.0_MFCC.csv").write_text("x;0;1\n")
    with pytest.raises(DataError, match="named by their place in a list of the training set"):
        reader("edaic", tmp_path, audio_features="boaw_mfcc").read(("train",))


def test_known_transcripts_are_moved_and_interruptions_left_out(tmp_path: Path) -> None:
    said = [(1.0, 2.0, "Participant", "early"), (400.0, 410.0, "Ellie", "somebody came in")]
    for name in ("318", "373"):
        write_daic_person(tmp_path, name, said, None, (np.empty(0), np.empty((0, 20), np.float32)))
    found = reader("daic", tmp_path)
    assert found.turns("318")[0].start == pytest.approx(35.319917, abs=1e-4)
    assert [turn.text for turn in found.turns("373")] == ["early"]


def test_speakers_that_a_transcript_does_not_name_cannot_be_chosen(edaic: Path) -> None:
    with pytest.raises(DataError, match="do not say who speaks; write participant or all"):
        reader("edaic", edaic, speech="interviewer").outlines()


def test_tables_have_names_with_spaces_and_ids_with_zeros(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbfid,  b \r\n007, 1.5\r\n008,\r\n009,-inf\r\n")
    assert read_texts(tmp_path / "f.csv")["id"] == ["007", "008", "009"]
    names, values = read_numbers(tmp_path / "f.csv", ",", lambda name: name == "b")
    assert names == ["b"]
    np.testing.assert_array_equal(values[:, 0], np.array([1.5, np.nan, -np.inf], np.float32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header"),
        (b"a,b,a\n1,2,3\n", "has the column 'a' twice"),
        (b"a,b\n1,2\n3\n", "is no table of cells|cut short"),
        (b"a,b\n1,2\n3,x\n", "is no table of cells|cut short"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_numbers(tmp_path / "f.csv", ",")


def test_a_column_without_a_known_value_in_a_window_is_filled_as_the_user_chose(tmp_path: Path) -> None:
    """Face and voice are lost in one turn of one person; 0 would be a value that the columns never have."""
    write_edaic(tmp_path, PEOPLE)
    person = next(person for person in PEOPLE if person.split == "train")
    turn = next(turn for turn in person.turns if turn.participant)
    file = tmp_path / f"{person.id}_P" / "features" / f"{person.id}_OpenFace2.1.0_Pose_gaze_AUs.csv"
    header, *lines = file.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    lost = [
        [*row[:2], *["0"] * (len(row) - 2)] if turn.start <= float(row[1]) < turn.end else row
        for row in cells
    ]
    file.write_text("\n".join([header, *map(",".join, lost)]) + "\n")

    def vision(setting: str) -> np.ndarray:
        config = parse(DATA_SETS["edaic"].Config, {"path": str(tmp_path), "nonfinite": setting}, "test")
        features = open_corpus(config, ("train",))["train"].vision
        assert isinstance(features, Features)
        return features.values

    zero, impute, flag = map(vision, ("zero", "impute", "flag"))
    assert (zero[0] == 0).all()
    np.testing.assert_allclose(impute[0, :98], zero[1:, :98].mean(axis=0), rtol=1e-4)
    assert impute[0, 98] == 0
    np.testing.assert_array_equal(impute[1:], zero[1:])
    np.testing.assert_array_equal(flag[:, :99], impute)
    assert flag[0, 99] == pytest.approx(98 / 99)
    assert not flag[1:, 99].any()
