"""The report of a study: on every state a study can be in, one safe page and the same as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from reports_cases import HOSTILE, config_of, searched

from mmsa.data.ledger import LEDGER, Ledger, Opening
from mmsa.interface import DataNature, PairedDifference, ReferencePoint, Scalar
from mmsa.reports.across import across_report
from mmsa.reports.document import VERDICT_LENGTH, Document, Paragraph, Section, Table
from mmsa.reports.drawing import Drawing
from mmsa.reports.evidence import Evidence
from mmsa.reports.study_report import study_report
from mmsa.search.records import Ending
from mmsa.search.study.view import StudyView, read_study


class Page(HTMLParser):
    """Tags with their attributes, and text, of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def assert_is_safe(html: str) -> None:
    """One small page that asks nothing of anybody: no script, request or storage, and sound pictures."""
    assert len(html.encode()) < 500_000
    page = Page(html)
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "p",
        "pre",
        "nav",
        "ul",
        "li",
    }
    allowed |= {
        "a",
        "section",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "wbr",
        "figure",
    }
    allowed |= {"figcaption", "svg", "text", "line", "rect", "circle", "path"}
    assert {tag for tag, _ in page.tags} <= allowed
    for _, attributes in page.tags:
        assert not {
            name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")
        }
        assert (attributes.get("href") or "#").startswith("#")
    style = re.findall(r"<style>(.*?)</style>", html, re.S)
    assert len(style) == 1
    assert not re.search(r"url\(|@import|http", style[0])
    pictures = re.findall(r"<svg.*?</svg>", html, re.S)
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("role") == "img"
        assert root.findtext("title")
        numbers = re.findall(r'="(-?[\d.]+)"', picture)
        assert numbers
        assert "nan" not in picture.lower().replace("nance", "")
    for attributes in (a for tag, a in page.tags if tag == "table"):
        assert attributes == {}
    assert html.count("<caption>") == html.count("<table>")


def test_it_says_the_answer_first_and_everything_that_was_planted(told: StudyView, told_runs: Path) -> None:
    document = study_report(told, told_runs)
    html, markdown = document.html(), document.markdown()
    assert_is_safe(html)
    best = told.best()
    assert best is not None
    assert len(document.verdict) <= VERDICT_LENGTH
    assert markdown.startswith(f"trial {best.number} is best")
    assert document.verdict in html
    assert (
        "others are within its standard error" in document.verdict
    )  # all trials with a weight of 0 are equal
    row = next(line for line in markdown.splitlines() if line.startswith("| cpc.weight") and " yes" in line)
    assert float(row.split("|")[2]) > 0.5  # the only choice that matters has most of the importance
    assert not [line for line in markdown.splitlines() if re.match(r"\| optim\.lr .* yes", line)]
    assert re.search(
        r"\| target/text +\| +32 \| .*\| cpc.weight \(0\.[5-9]", markdown
    )  # and moves the information
    assert re.search(r"\| cpc.weight .* 0 is better", markdown)  # the gate is an ablation of the weight
    assert ":zero" not in html
    assert ":quantile" not in html
    assert "levels/specific.text" in html
    assert "+ cpc.weight" in html  # the first step of the way
    assert "4 trials ended without a result, for 1 reason;" in html
    assert "test: never opened for this study" in html
    assert html == study_report(read_study("told", told_runs), told_runs).html()


def test_what_users_wrote_is_text(told: StudyView, told_runs: Path) -> None:
    document = study_report(told, told_runs)
    html = document.html()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    lines = [line for line in document.markdown().splitlines() if "alert" in line]
    assert lines
    for line in lines:
        assert r"\<script>" in line
        assert r"\| a_b \[c\]" in line
        assert len(re.findall(r"(?<!\\)\|", line)) == 5  # four cells, and no more


def test_a_document_escapes_everything_it_is_given() -> None:
    table = Table(HOSTILE, [HOSTILE, "n"], [[HOSTILE, "1.5"]])
    document = Document(
        HOSTILE, HOSTILE, [Section(HOSTILE, [Paragraph(HOSTILE), Paragraph(HOSTILE, True), table])]
    )
    html = document.html()
    assert_is_safe(html)
    assert html.count("&lt;script&gt;") >= 9
    assert r"\[c\](" in document.markdown()
    assert table.is_numeric(1)
    assert not table.is_numeric(0)


@pytest.mark.parametrize(
    ("trials", "outcome", "verdict"),
    [
        (0, "completed", "no trial has begun; 40 are asked for."),
        (1, "completed", "trial 0 is best so far: valid/mae 0.5"),
        (3, "failed", "no trial has completed: 3 failed, 1 running or interrupted."),
        (3, "diverged", "no trial has completed: 3 diverged, 1 running or interrupted."),
    ],
)
def test_it_is_one_on_every_state_of_a_study(tmp_path: Path, trials: int, outcome: str, verdict: str) -> None:
    def end(number: int, point: object) -> Ending:
        metrics = {"valid/mae": 0.5 + number} if outcome == "completed" else {}
        return Ending(outcome, metrics, reason="" if metrics else "it went wrong")  # type: ignore[arg-type]

    with searched(tmp_path, config_of(), trials, end) as study:
        running = study.ask()
        assert running is not None
        for view in (study, read_study("told", tmp_path)):
            document = study_report(view, tmp_path)
            if trials:
                assert document.verdict.startswith(verdict)
            assert_is_safe(document.html())
            assert document.markdown()
    if not trials:
        with searched(tmp_path / "empty", config_of(), 0):
            assert study_report(read_study("told", tmp_path / "empty"), tmp_path / "empty").verdict == verdict


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    objectives = [
        {"metric": "valid/mae", "direction": "minimize"},
        {"metric": "valid/acc7", "direction": "maximize"},
    ]
    search = {"objectives": objectives, "scheduler": {"name": "none"}, "trials": 12}

    def end(number: int, point: object) -> Ending:
        return Ending(
            "completed", {"valid/mae": 0.5 + 0.01 * number, "valid/acc7": 0.3 + 0.01 * (number % 5)}
        )

    with searched(tmp_path, config_of(search=search), 12, end):
        document = study_report(read_study("told", tmp_path), tmp_path)
    assert "5 trials on the front of 2 objectives" in document.verdict
    assert "## Pareto front" in document.markdown()
    assert_is_safe(document.html())


def test_hundreds_of_trials_stay_one_small_page(tmp_path: Path) -> None:
    config = config_of(search={"trials": 400, "scheduler": {"name": "none"}})
    with searched(tmp_path, config, 400):
        html = study_report(read_study("told", tmp_path), tmp_path).html()
    assert_is_safe(html)


def test_references_that_are_not_compared_yet_are_counted_not_beaten(tmp_path: Path) -> None:
    def point(name: str, low: float | None) -> ReferencePoint:
        gains = {} if low is None else {"valid/mae": PairedDifference(0.2, low, 0.3)}
        return ReferencePoint(
            name, "completed", "x", {"valid/mae": 0.9}, gains=gains, compared_with=None if low is None else 0
        )

    config = config_of(search={"references": "all", "trials": 1})
    with searched(tmp_path, config, 1) as study:
        for reference in (point("ridge/text", 0.1), point("alone/text", None)):
            study.remember_reference(reference)
        assert "surely better than ridge on text, 1 reference not compared yet" in _verdict(tmp_path)
        study.remember_reference(point("alone/text", -0.1))
        assert "not surely better than text alone" in _verdict(tmp_path)


def _verdict(runs: Path) -> str:
    return study_report(read_study("told", runs), runs).verdict


def test_a_reference_that_is_ahead_is_named_first_though_nobody_compared_it_yet(tmp_path: Path) -> None:
    with searched(tmp_path, config_of(search={"references": "all"}), 3) as study:
        study.remember_reference(ReferencePoint("ridge/text", "completed", "d" * 64, {"valid/mae": 0.1}))
        document = study_report(read_study("told", tmp_path), tmp_path)
    assert "; ridge on text (0.1000) is ahead of it" in document.verdict
    assert "behind by value, not compared row by row" in document.markdown()
    assert "Look at what is simpler first: ridge on text has 0.1000" in document.markdown()


def test_it_says_what_to_do_next_here_and_on_the_next_data_set(told: StudyView, told_runs: Path) -> None:
    section = (
        study_report(told, told_runs).markdown().partition("## What to do next\n")[2].partition("## ")[0]
    )
    assert "python launch/compare.py --study told --top 5 --seeds 5 --runs " in section
    assert "python launch/report.py --study told --measure" in section
    assert re.search(r"\| cpc.weight +\| .* \| 0 is better", section)
    assert "optim.lr" not in section  # it is not told from chance


@pytest.mark.parametrize(("compared", "advice"), [([0, 7], "export.py"), ([7, 8], "retrain.py")])
def test_what_fresh_seeds_have_said_is_not_proposed_again(
    tmp_path: Path, compared: list[int], advice: str
) -> None:
    """As long as the best trial was among those that were compared."""
    with searched(tmp_path, config_of(search={"trials": 1}), 1):
        (tmp_path / "compared" / "told").mkdir(parents=True)
        blank = {"config_digest": "d" * 64, "seeds": [1, 2, 3, 4, 5]}
        configs = [{"name": f"trial {number}", "trial": number, **blank} for number in compared]
        verdict = {"take": "trial 7", "text": "winner: trial 7"}
        stored = {"configs": configs, "verdict": verdict, "seeds": [1, 2, 3, 4, 5], "test": None}
        (tmp_path / "compared" / "told" / "compare.json").write_text(json.dumps(stored))
        document = study_report(read_study("told", tmp_path), tmp_path, "postgresql://me:secretword@h/s")
    section = document.markdown().partition("do next\n")[2]
    for command in re.findall(r"python launch/.*", section):  # that can be typed as it stands
        stored_in = "" if "retrain.py" in command else " --storage 'postgresql://me:***@h/s'"
        assert command.endswith(f" --runs {tmp_path}{stored_in}")
    said = "5 fresh seeds of each have said which (compared/told/compare.md in the folder of runs): winner"
    assert (said in section, "export.py --study told --trial 7" in section) == (0 in compared, 0 in compared)
    assert f"python launch/{advice}" in section


def test_one_trial_is_ahead_of_nobody(tmp_path: Path) -> None:
    with searched(tmp_path, config_of(search={"trials": 1}), 1):
        document = study_report(read_study("told", tmp_path), tmp_path)
    assert document.verdict.endswith("; no other trial has completed.")
    assert "Trial 0 is the only one that has completed." in document.markdown()


def test_equal_results_make_no_choice_important(tmp_path: Path) -> None:
    objectives = [
        {"metric": "valid/mae", "direction": "minimize"},
        {"metric": "valid/acc7", "direction": "maximize"},
    ]

    def end(number: int, point: object) -> Ending:
        return Ending("completed", {"valid/mae": 1e9, "valid/acc7": 0.4}, best_epoch=1)

    search = {"objectives": objectives, "scheduler": {"name": "none"}, "trials": 20}
    with searched(tmp_path, config_of(search=search), 20, end):
        document = study_report(read_study("told", tmp_path), tmp_path)
    assert "All 20 trials that ended came to the same, whatever they chose." in document.markdown()
    assert document.html().count("small strong") < 20  # trials at one place have one number
    assert_is_safe(document.html())


@pytest.mark.parametrize("apart", [0.0, 0.01, 1.0])
def test_results_far_from_0_are_drawn_apart(tmp_path: Path, apart: float) -> None:
    def end(number: int, point: object) -> Ending:
        return Ending("completed", {"valid/mae": 1000 + apart * number, "valid/acc7": 0.4}, best_epoch=1)

    with searched(tmp_path, config_of(search={"trials": 20, "scheduler": {"name": "none"}}), 20, end):
        html = study_report(read_study("told", tmp_path), tmp_path).html()
    assert_is_safe(html)
    (low, high), *_ = re.findall(r">(\d[\d.]*) to (\d[\d.]*)</text>", html)
    assert float(low) < float(high)


@pytest.mark.parametrize(
    ("outcome", "advice"),
    [
        ("pruned", "was stopped early: give the scheduler a longer grace, or ask for more trials"),
        (
            "failed",
            "2 trials failed: mend what the section on failures names, then run the same search again with",
        ),
    ],
)
def test_without_a_result_it_says_how_to_get_one(tmp_path: Path, outcome: str, advice: str) -> None:
    def end(number: int, point: object) -> Ending:
        return Ending(outcome, {"valid/mae": 0.5} if outcome == "pruned" else {}, reason="x")  # type: ignore[arg-type]

    with searched(tmp_path, config_of(search={"trials": 2}), 2, end):
        assert advice in study_report(read_study("told", tmp_path), tmp_path).markdown()


def test_words_fit_into_their_room() -> None:
    drawing = Drawing(100, "room")
    for letter in "imW数":
        drawing.text(0, 10, letter * 100, "small strong", room=110.0)
    drawing.text(0, 10, "objective.terms.cpc.weight", room=400.0)
    shown = re.findall(r">([^<]*)</text>", drawing.svg())
    assert [len(words) for words in shown[:4]] == sorted((len(words) for words in shown[:4]), reverse=True)
    assert all(words.startswith("…") for words in shown[:4])
    assert len(shown[2]) <= len(shown[3]) + 1 <= 11
    assert shown[4] == "objective.terms.cpc.weight"


def test_what_a_term_without_weight_chose_is_not_shown(tmp_path: Path) -> None:
    """The shares of a term that nothing weighs have no value in the best trial."""
    config = config_of()
    term = "objective.terms.mimrl.weight"
    parameters = config.model_dump(mode="json")["search"]["parameters"]
    zero = {"type": "float", "low": 0.1, "high": 1.0, "zero": 0.5}
    search = {"trials": 12, "scheduler": {"name": "none"}, "parameters": {**parameters, term: zero}}

    def came_to(number: int, point: Mapping[str, Scalar]) -> Ending:
        return Ending("completed", {"valid/mae": 0.1 + float(point[term])}, best_epoch=1, seconds=1.0)

    with searched(tmp_path, config_of(search=search), 12, came_to):
        pass
    text = study_report(read_study("told", tmp_path), tmp_path).markdown()
    table = text.partition("What trial")[2].partition("##")[0]
    best = {
        cells[1].strip(): cells[3].strip() for row in table.splitlines() if len(cells := row.split("|")) > 4
    }
    assert best[term] == "0"
    assert best["objective.terms.mimrl.estimator.name"] == "-"
    assert best["levels"] == "-"
    assert best["optim.lr"] != "-"


def test_without_a_test_split_or_several_modalities_nothing_is_proposed_that_is_refused(
    tmp_path: Path,
) -> None:
    for name, nature in (("most", DataNature()), ("few", DataNature(False, False))):
        with searched(tmp_path, config_of(study=name), 20) as study:
            study.bind_corpus("d" * 64, nature=nature)
        view = read_study(name, tmp_path)
        text = study_report(view, tmp_path).markdown()
        most = name == "most"
        assert ("--measure" in text) == most
        assert ("--valid-only" in text) == (not most)
        assert ("--measure" in across_report([view], tmp_path).document.markdown()) == most
    opening = Opening("planted", "c" * 64, "d" * 64, "most", trial=0, seeds=[1], overrides={})
    Ledger(tmp_path / LEDGER).open(opening)
    text = study_report(read_study("most", tmp_path), tmp_path).markdown()
    assert "--valid-only" in text
    assert "test has been opened for this study" in text
    assert "test is opened once" not in text


def test_few_trials_are_no_evidence_that_no_kind_is_rewarded(tmp_path: Path) -> None:
    with searched(tmp_path, config_of(), 8):
        pass
    text = study_report(read_study("told", tmp_path), tmp_path).markdown()
    assert "takes 16 completed trials with coefficients to say" in text
    assert "has of none surely more" not in text


@pytest.mark.parametrize(
    ("at_zero", "above", "told_as"),
    [
        ([0.50, 0.51], [0.9, 1.0, 1.1, 1.2], "not told apart"),  # two trials have little spread by chance
        ([0.0, 0.1, 0.2, 0.3], [0.25, 0.35, 0.45, 0.55], "not told apart"),  # p = .03, of one in five
        ([0.0, 0.1, 0.2, 0.3], [0.8, 0.9, 1.0, 1.1], "0 is better"),
    ],
)
def test_an_ablation_is_told_by_enough_trials_and_over_all_coefficients(
    told: StudyView, told_runs: Path, at_zero: list[float], above: list[float], told_as: str
) -> None:
    evidence = Evidence(told, told_runs)
    evidence.values = np.array([*at_zero, *above])
    chosen_N = np.array([0.0] * len(at_zero) + [1.0] * len(above))
    evidence.points = np.tile(chosen_N[:, None], len(evidence.axes))
    assert len(evidence.ablations) > 3
    assert {of.told for of in evidence.ablations} == {told_as}


def test_settings_of_a_term_whose_coefficients_are_all_0_are_silent(told: StudyView, told_runs: Path) -> None:
    term = "objective.terms.mimrl."
    weights = (f"{term}invariant.text_audio", f"{term}specific.text", f"{term}complementary.text_audio")
    silent = Evidence(told, told_runs).silent(dict.fromkeys(weights, 0.0))
    assert f"{term}estimator.name".startswith(silent)
    assert not weights[0].startswith(silent)  # which would be heard
    assert not Evidence(told, told_runs).silent({})
