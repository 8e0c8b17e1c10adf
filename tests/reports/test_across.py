"""The report across studies: what is named, with how much confidence, and from which decomposition."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from launched import launched
from reports_cases import config_of, measured, searched

from mmsa.data import open_corpus
from mmsa.errors import DataError, StudyError
from mmsa.information.target import Decomposition, Effort
from mmsa.information.target.decomposition import Quantity
from mmsa.information.target.quantities import atoms, pairs_of, quantities, subsets_of
from mmsa.reports.across import _order, _same_order, across_report, cells_of, page_across
from mmsa.reports.composition import (
    bound_of_nothing,
    brackets_of,
    decompose_features,
    dominant_modality,
    named_in,
    spoken_dominance,
    spoken_kind,
    without_fusion,
)
from mmsa.reports.composition_sections import composition_section
from mmsa.reports.document import Document
from mmsa.reports.sources import (
    MEASURED,
    Composition,
    decomposition_of,
    ghosts_for,
    is_measured,
    measure_composition,
)
from mmsa.reports.study_report import study_report
from mmsa.results.test_information import INFORMATION
from mmsa.search.study.cards import study_card
from mmsa.search.study.view import StudyView, read_study
from mmsa.tracking import Location, rebuild
from mmsa.tracking.views import trials_page


def decomposition(shared: float, private: float, synergy: float, error: float = 0.05) -> Decomposition:
    """``shared`` bits in all three, ``private`` ones in audio, ``synergy`` of text and vision."""
    modalities = ["text", "audio", "vision"]

    def bits(subset: frozenset[str]) -> float:
        return shared + private * ("audio" in subset) + synergy * ({"text", "vision"} <= subset)

    known = {subset: np.array([bits(subset)]) for subset in subsets_of(modalities)}
    found = quantities(known, modalities)
    for pair in pairs_of(modalities):
        least = min(bits(pair.first), bits(pair.second))
        redundancy = min(shared, least)
        found |= atoms(known, pair, np.array([redundancy]), modalities)
    told = {
        name: Quantity(
            float(v[0]),
            float(v[0]) - error,
            float(v[0]) + error,
            status="ok" if float(v[0]) > error else "below_null",
        )
        for name, v in found.items()
    }
    total = shared + private + synergy
    return Decomposition(
        told, ("text", "audio", "vision"), "ok", total + 1.0, 500, 50, 8, True, 4, 3, 1, 0, 500, 0, 1.0
    )  # fmt: skip


@pytest.mark.parametrize(
    ("amounts", "named", "modality"),
    [
        ((2.0, 0.1, 0.1), "invariant", None),
        ((0.1, 2.0, 0.1), ("specific", "audio"), "audio"),
        ((0.1, 0.1, 2.0), ("complementary", "text,vision"), None),
        ((1.0, 1.0, 1.0), None, None),
    ],
)
def test_a_kind_is_named_that_is_more_than_half(amounts, named, modality) -> None:
    found = decomposition(*amounts)
    told = named_in(found)
    assert told == named or (told is not None and told[0] == named)
    measured = without_fusion(found)
    said = spoken_dominance(dominant_modality(measured), measured)
    if modality is None:  # two modalities add alike, or none does
        assert said.startswith("undecided")
    else:
        assert said == f"{modality} (100%)"


def test_few_rows_name_nothing() -> None:
    found = decomposition(0.1, 2.0, 0.1)
    assert named_in(found) == ("specific", "audio")
    assert named_in(replace(found, num_samples=499)) is None
    assert spoken_kind(replace(found, num_samples=499)) == "undecided (499 rows, fewer than 500)"
    assert spoken_kind(replace(found, modalities=("audio",))) == "undecided (audio alone)"


def test_what_networks_made_of_features_names_no_kind() -> None:
    found = decomposition(0.1, 2.0, 0.1)
    measured = without_fusion(found)
    assert Composition("features", measured, 500, 50, found, of_features=True).kind == "specific (audio)"
    for kept in (found, None):
        vectors = Composition("vectors", measured, 500, 50, kept)
        assert vectors.kind == "undecided (only features name a kind)"


def test_a_retrained_model_is_no_source_of_a_kind(three: Path) -> None:
    """Nor does a retraining of several labels, of which nothing is decomposed, damage a report."""
    for name, found in (("0" * 12, None), ("1" * 12, decomposition(0.1, 2.0, 0.1).to_dict())):
        folder = three / "retrained" / f"three-{name}"
        folder.mkdir(parents=True)
        (folder / INFORMATION).write_text(json.dumps({"decomposition": found}), encoding="utf-8")
    study = read_study("three", three)
    source = decomposition_of(study, three)
    assert source is not None
    assert source.origin == "vectors of the retrained model on test"
    assert source.kind.startswith("undecided")
    assert "Dominant kind: undecided (only features" in study_report(study, three).markdown()


def test_classes_are_decomposed_as_classes_and_several_labels_not_at_all(small: StudyView) -> None:
    split = open_corpus(small.config.base.data)["train"]
    # Twice as many rows in one class as there are in the bins of numbers, and names that are far apart.
    classes = replace(split, labels=np.where(split.labels > 0, 40.0, 0.0).astype(np.float32))
    found = decompose_features(classes, "binary")
    assert (found.num_classes, found.binned) == (2, False)
    several = replace(split, labels=np.ones((len(split), 2), np.float32))
    with pytest.raises(DataError, match="several labels at once"):
        decompose_features(several, "multilabel")


def test_wide_intervals_name_nothing() -> None:
    found = decomposition(0.1, 0.6, 0.1, error=1.5)
    assert named_in(found) is None
    measured = without_fusion(found)
    name, chance = dominant_modality(measured) or ("", 1.0)
    assert (name, chance < 0.95) == ("audio", True)


def test_brackets_are_shares_of_what_there_is_to_know() -> None:
    found = decomposition(1.0, 0.5, 0.5)
    brackets = {(b.part, b.members): b for b in brackets_of(without_fusion(found))}
    assert len(brackets) == 3 + 3 + 3 + 3 + 1
    assert brackets["total", "text, audio, vision"].most == pytest.approx(2.0 / 3.0)
    assert brackets["alone", "audio"].most == pytest.approx(1.5 / 3.0)
    synergy = brackets["synergy", "text, vision"]
    assert (synergy.least, synergy.most) == pytest.approx((-0.5 / 3.0, 0.5 / 3.0))
    assert brackets_of({}) == []


def test_cells_hold_the_point_or_what_is_proven() -> None:
    found = decomposition(0.0, 0.0, 2.0)
    whole = cells_of(Composition("x", without_fusion(found), 500, 50, found))
    assert whole["synergy"] is not None
    assert whole["synergy"].value == pytest.approx(2.0 / 3.0)
    assert whole["synergy"].text() == "0.67 (0.65 to 0.68)"
    bounds = cells_of(Composition("x", without_fusion(found), 500, 50))
    assert bounds["synergy"] is not None
    assert bounds["synergy"].value == pytest.approx(
        2.0 / 3.0
    )  # with nothing else there the bracket is a point


def test_modalities_that_say_nothing_have_no_place_in_an_order() -> None:
    found = {
        "text": measured(0.2),
        "audio": measured(0.3),
        "vision": measured(0.25, "below_null"),
    }
    assert _order(found) == "audio ~ text; nothing in vision"
    assert _order({"text": measured(0.2)}) == "-"


@pytest.mark.parametrize(
    ("copula", "networks", "same"),
    [
        ((0.30, 0.33), (0.34, 0.30), "not known"),  # as much in each: which comes first is chance
        ((0.30, 0.50), (0.34, 0.30), "not known"),  # only one of them tells
        ((0.30, 0.50), (0.20, 0.50), "yes"),
        ((0.30, 0.50), (0.50, 0.30), "no"),
    ],
)
def test_orders_are_compared_where_intervals_tell_them(
    copula: tuple[float, float], networks: tuple[float, float], same: str
) -> None:
    both = [dict(zip(("text", "audio"), map(measured, values), strict=True)) for values in (copula, networks)]
    assert _same_order(*both) == same
    assert ("~" in _order(both[0])) == (copula[1] - copula[0] < 0.1)


def test_nothing_lies_above_what_is_saturated() -> None:
    found = {"text": measured(0.5), "audio": measured(0.3, "saturated")}
    assert _order(found) == "text ~ audio"
    assert _same_order(found, {"text": measured(0.2), "audio": measured(0.5)}) == "not known"


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name, amounts in (("one", (2.0, 0.1, 0.1)), ("two", (0.1, 2.0, 0.1)), ("three", None)):
        config = config_of(study=name, search={"trials": 20, "scheduler": {"name": "none"}})
        with searched(tmp_path, config, 20):
            if amounts:
                kept = {
                    "corpus_digest": "d" * 64,
                    "split": "valid",
                    "decomposition": decomposition(*amounts).to_dict(),
                }
                (tmp_path / name / MEASURED).write_text(json.dumps(kept), encoding="utf-8")
    return tmp_path


def test_studies_stand_in_one_table_and_one_picture(three: Path) -> None:
    studies = [read_study(name, three) for name in ("one", "two", "three")]
    report = across_report(studies, three)
    document = report.document
    markdown, html = document.markdown(), document.html()
    assert "one: invariant" in document.verdict
    assert "two: specific (audio), modality audio (100%)" in document.verdict
    assert "python launch/report.py --study three --measure" in markdown
    assert html.count("<svg") == 1
    assert "0.62 (0.61 to 0.64)" in markdown  # 2 bits of the 3.2 that there are to know
    assert "| mimrl.invariant.text_audio" in markdown
    assert html == across_report(studies, three).document.html()
    many = across_report([*studies] * 20, three)
    assert len(many.document.verdict) <= 200
    assert [row["kind"] for row in report.rows] == [
        "invariant (text, audio)",
        "specific (audio)",
        "not measured",
    ]
    assert report.rows[0]["redundancy"] == pytest.approx(2.0 / 3.2)
    assert report.rows[2]["redundancy"] is None


@pytest.mark.slow
def test_the_command_keeps_it_in_one_run_of_an_experiment_of_its_own(
    three: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(store, three)
    location = Location.of(three)
    one = read_study("one", three)
    rebuild(location, study_card(one), [])
    command = ("report.py", "--studies", "one", "two", "three", "--runs", str(three))
    for _ in range(2):
        assert launched(monkeypatch, *command) == 0
        page = capsys.readouterr().err.splitlines()[-1]
    client = location.connect()
    experiment = client.get_experiment_by_name("across studies").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_id in page
    assert run.info.status == "FINISHED"
    note = run.data.tags["mlflow.note.content"]
    assert "one: invariant" in note[:200]
    assert f"[one]({trials_page(location.origin, '1', study_card(one).identity)})" in note
    assert "artifacts/report.html" in note
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"report.html", "report.md", "across.csv", "across.json"}
    table = Path(client.download_artifacts(run.info.run_id, "across.csv")).read_text(encoding="utf-8")
    assert [row["modality"] for row in csv.DictReader(table.splitlines())][1] == "audio (100%)"
    assert launched(monkeypatch, *command, "--mlflow-uri", "http://127.0.0.1:9") == 0
    told = capsys.readouterr()
    assert "one: invariant" in told.out
    assert "MLflow has nothing of this report" in told.err


@pytest.mark.parametrize("end", ["/least", "/most"])
def test_an_estimate_that_another_contradicts_is_not_called_nothing(end: str) -> None:
    """All modalities read less than two of them: what is made of them may be large all the same."""
    found = decomposition(0.1, 2.0, 0.1)
    told = {
        name: replace(quantity, status="incoherent")
        if name.startswith("gain/audio") or (name.startswith("unique/audio") and name.endswith(end))
        else quantity
        for name, quantity in found.quantities.items()
    }
    measured = without_fusion(replace(found, quantities=told))
    source = Composition("features", measured, 500, 50, found, of_features=True)
    text = Document("", "", [composition_section(source, None, {}, "one")]).markdown()
    (line,) = [line for line in text.splitlines() if line.startswith("| unique: audio")]
    assert line.endswith("| contradicted      |")
    assert "Contradicted: together, modalities read less than some of them" in text
    assert "audio first, but contradicted" in text


def test_a_decomposition_is_shown_with_planted_data_of_its_size(three: Path) -> None:
    text = study_report(read_study("two", three), three).markdown()
    assert "Dominant kind: specific (audio). Dominant modality" in text
    ghosts, which = ghosts_for(500)
    assert ghosts["redundancy"][0] <= ghosts["redundancy"][1] <= 1.0
    assert which in text
    assert ghosts_for(10**6)[1].startswith("2000 rows")


def test_a_decomposition_of_other_data_is_none(three: Path) -> None:
    path = three / "one" / MEASURED
    path.write_text(path.read_text("utf-8").replace("d" * 64, "e" * 64), encoding="utf-8")
    assert decomposition_of(read_study("one", three), three) is None


def test_features_are_decomposed_without_any_training(
    small: StudyView, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmsa.results.test_information.FAST", Effort(2, 1, permutations=0, resamples=20))
    assert not is_measured(small, tmp_path)
    measure_composition(small, tmp_path, "train")
    assert is_measured(small, tmp_path)
    assert not is_measured(small, tmp_path, "valid")
    found = decomposition_of(small, tmp_path)
    assert found is not None
    assert (found.rows, found.origin) == (80, "features of train")
    assert found.decomposition is not None
    assert set(found.decomposition.modalities) == {"text", "audio", "vision"}


def test_a_damaged_decomposition_says_what_to_do(three: Path) -> None:
    (three / "one" / MEASURED).write_text("{}", encoding="utf-8")
    with pytest.raises(StudyError, match="remove it, and measure again with --measure"):
        decomposition_of(read_study("one", three), three)


def test_a_value_is_not_held_against_the_null_of_another_reading() -> None:
    tested = measured(0.3)
    assert bound_of_nothing(tested) == tested.null_bound == 0.02
    assert bound_of_nothing(replace(tested, value=0.01)) is None  # it passed, so what passed was not this
    assert bound_of_nothing(replace(tested, value=0.01, status="below_null")) == 0.02


def test_the_page_of_many_studies_has_a_name_that_files_may_have() -> None:
    assert page_across(["one", "two"]) == "across-one-two.html"
    many = [f"{'x' * 100}{number}" for number in range(9)]
    assert len(page_across(many)) < 200
    assert page_across(many) != page_across([*many, "more"])
