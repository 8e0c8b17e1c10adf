"""What a user sees who opens a printed address: MLflow's own pages, in a browser without a network.

The screenshots lie in the folder that MMSA_SCREENSHOTS names, or are thrown away.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from browser_page import Page
from mlflow_server import Server

from mmsa.tracking.location import MACHINE_LEARNING, Location, all_pages
from mmsa.tracking.mirror import rebuild
from mmsa.tracking.registered import ModelCard, register

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "tracking"))
from synthetic import multiply_trials, synthetic_study

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

WRITTEN, TIMES = 40, 50
NUM_TRIALS = WRITTEN * TIMES
SECONDS = 30.0
ROWS = "document.querySelectorAll('.ag-center-cols-container [row-index]')"
VALUES = f"""JSON.stringify([...{ROWS}]
  .sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
  .map(row => Object.fromEntries([...row.querySelectorAll('[col-id]')]
    .map(cell => [cell.getAttribute('col-id'), cell.innerText.trim()]))))"""


@dataclass(frozen=True)
class Shown:
    """A server of a study with many trials, and the page that its mirror pointed to."""

    origin: str
    page: str
    location: Location

    def run_of(self, role: str, more: str = "") -> str:
        found = self.location.connect().search_runs(
            ["1"], f"tags.`mmsa.role` = '{role}'{more}", max_results=1
        )
        return str(found[0].info.run_id)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("mlflow")
    written = Location.of(folder, f"sqlite:///{folder}/server.db")
    written = Location(written.uri, (folder / "artifacts").as_uri())
    study, trials = synthetic_study(WRITTEN)
    pages: list[str] = []
    rebuild(written, study, trials, pages.append)
    multiply_trials(folder / "server.db", TIMES)
    with Server(folder) as server:
        yield Shown(server.url, pages[0].replace(written.origin, server.url), written)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(1750, 1000) as page:
        yield page


@pytest.fixture
def picture(page: Page, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Takes a screenshot when the test is over."""
    yield
    folder = Path(os.environ.get("MMSA_SCREENSHOTS", tmp_path))
    page.screenshot(folder / f"{request.node.name.removeprefix('test_')}.png")


def test_the_printed_address_opens_on_trials_best_first(shown: Shown, page: Page, picture: None) -> None:
    began = time.monotonic()
    page.open(shown.page)
    page.wait_for(f"{ROWS}.length > 5", SECONDS)
    assert time.monotonic() - began < SECONDS
    asked = "tags.`mmsa.role` = 'trial'"
    found = all_pages(shown.location.connect().search_runs, ["1"], asked)
    assert len(found) == NUM_TRIALS
    rows = json.loads(page.run(VALUES))
    values = [float(row["metrics.`best/valid/mae`"]) for row in rows]
    assert values == sorted(values)
    _, trials = synthetic_study(WRITTEN)
    assert values[0] == pytest.approx(min(trial.values[0] for trial in trials if trial.values))
    assert {row["tags.`mmsa.outcome`"] for row in rows} <= {"completed", "pruned"}
    text = page.text()
    assert "Best: trial" in text
    assert "Traces" not in text.partition("Runs")[0]


def test_pruned_trials_are_told_from_failed_ones(shown: Shown, page: Page) -> None:
    client = shown.location.connect()
    states = {}
    for outcome in ("completed", "pruned", "diverged"):
        (run,) = client.search_runs(["1"], f"tags.`mmsa.outcome` = '{outcome}'", max_results=1)
        states[outcome] = (run.info.status, run.data.tags["mmsa.reason"])
    assert states["pruned"] == ("FINISHED", "not among the best after epoch 2")
    assert states["diverged"] == ("FAILED", "task became nan at step 12")


def test_charts_have_parallel_coordinates(shown: Shown, page: Page, picture: None) -> None:
    page.open(shown.page.replace("compareRunsMode=TABLE", "compareRunsMode=CHART"))
    text = page.wait_for_text("Parallel Coordinates", 120)
    assert "optim.lr vs. best/valid/mae" in page.wait_for_text("optim.lr vs. best/valid/mae", 120)
    page.wait_for("document.querySelectorAll('canvas').length > 0", 120)
    assert "trials, best first" in text


def test_the_study_says_its_verdict_first(shown: Shown, page: Page, picture: None) -> None:
    page.open(
        shown.location.run_page("1", shown.run_of("study")).replace(shown.location.origin, shown.origin)
    )
    text = page.wait_for_text("Description")
    note = text[text.index("Description") :]
    assert "Best: trial" in note[:200]
    assert "a constant 1.4000" in note[:200]
    page.wait_for_text("model.name")
    assert "synthetic train" in page.text()


def test_two_trials_are_compared_by_what_differs(shown: Shown, page: Page, picture: None) -> None:
    runs = [shown.run_of("trial", f" AND tags.`mmsa.trial` = '{number}'") for number in (0, 1)]
    # In this order: MLflow looks for its first key with the question mark.
    asked = urlencode({"runs": json.dumps(runs), "experiments": '["1"]', **MACHINE_LEARNING})
    page.open(f"{shown.origin}/#/compare-runs?{asked}")
    text = page.wait_for_text("optim.lr", 120)
    assert "trial 0" in text
    assert "best/valid/mae" in text


def test_a_version_says_how_it_is_asked(shown: Shown, page: Page, picture: None, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "config.yaml").write_text("{}")
    (tmp_path / "mmsa.whl").write_text("")
    client = shown.location.connect()
    card = ModelCard(
        name="synthetic",
        seed=1,
        best_epoch=3,
        inputs={"text": "strings", "audio": "features"},
        outputs={"prediction": "float"},
        widths={"audio": 5},
        loader="mmsa.results.served",
        wheel=tmp_path / "mmsa.whl",
        requirements=["torch"],
        note='**Test mae 0.9000 (0.8000 to 1.0000)**\n\n```python\nload_model("{model}")\n```',
        valid=0.9,
        direction="minimize",
        same={"metric": "valid/mae"},
        data_set="synthetic",
    )
    register(client, "1", client.create_run("1").info.run_id, tmp_path / "bundle", card)
    page.open(f"{shown.origin}/#/models/synthetic/versions/1?{urlencode(MACHINE_LEARNING)}")
    text = page.wait_for_text("Test mae 0.9000", 120)
    assert 'load_model("models:/synthetic/1")' in text
    for alias in ("best", "current"):  # behind a space that is none for a comparison of texts
        page.wait_for(rf"/@\s*{alias}/.test(document.body.innerText)", 60)
    page.wait_for_text("Inputs (2)", 60)
