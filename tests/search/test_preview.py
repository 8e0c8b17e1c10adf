from __future__ import annotations

from collections import deque

import pytest

from mmsa.errors import DataError, StudyError
from mmsa.search.costs import Share
from mmsa.search.preview import dry_run, samples
from mmsa.search.records import Ending
from mmsa.search.study.study import Study


def test_a_dry_run_says_what_would_happen_and_makes_no_study(tmp_path, monkeypatch, make_study_config):
    monkeypatch.chdir(tmp_path)
    parameters = {
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "model.fusion.dropout": {"type": "float", "low": 0.0, "high": 0.5, "zero": 0.5},
    }
    config = make_study_config(parameters, trials=6, scheduler={"name": "asha", "grace": 3})
    text = "\n".join(dry_run(config, tmp_path))
    order = [
        "searched parameters",
        "sampled configuration 3",
        "cost at most",
        "base configuration (what",
        "  seed: 0",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "course: []" not in text
    assert "searched parameters: 2\n" in text
    assert text.count("sampled configuration") == 3
    assert "planted, 40 rows to train on, 20 to validate" in text
    assert "trained parameters: " in text
    assert "ms/step x 4 steps x 6 trials = " in text  # 2 epochs of 2 batches
    assert "asha stops none: its first rung, search.scheduler.grace: 3, is not below the 2 epochs" in text
    assert not [path for path in tmp_path.rglob("*") if path != tmp_path / "cache"]


def test_a_dry_run_of_a_study_tells_what_its_trials_took(tmp_path, make_study_config):
    config = make_study_config(trials=4, resources={"cpus_per_worker": 2, "gpus_per_worker": 0.5})
    with Study.open(config, tmp_path) as study:
        study.share = Share(2, 0.5)
        for number in range(2):
            study.ask()
            study.finish(number, Ending("completed", {"valid/mae": 1.0}, seconds=3600.0))
    assert next(line for line in dry_run(config, tmp_path) if line.startswith("so far")) == (
        "so far: 2 of 4 trials ended, 1 GPU-hours and 4 CPU-hours, 1:00:00 a trial; "
        "the other 2 at that rate: 1 GPU-hours and 4 CPU-hours"
    )


def test_a_dry_run_counts_the_trials_that_the_same_command_would_ask_for(tmp_path, make_study_config):
    config = make_study_config(trials=4)

    def first_line(trials: str | None) -> str:
        return next(dry_run(config, tmp_path, trials=trials))

    assert first_line("9") == "study tried: 9 trials, on planted"
    assert first_line("+9") == "study tried: 13 trials, on planted"
    with Study.open(config, tmp_path) as study:
        study.extend("+2")
    assert first_line(None) == first_line("+2") == "study tried: 6 trials, on planted"  # the same request
    assert first_line("+3") == "study tried: 9 trials, on planted"
    edited = make_study_config(trials=3)
    told = [next(dry_run(edited, tmp_path, trials=trials)).split()[2] for trials in (None, "+2")]
    assert told == ["3", "5"]  # counted anew
    with Study.open(edited, tmp_path) as study:
        assert study.asked == 3
    with pytest.raises(StudyError, match="must be a number of trials"):
        first_line("many")


def test_a_dry_run_warns_of_information_that_is_minimised(tmp_path, monkeypatch, make_study_config):
    monkeypatch.chdir(tmp_path)

    def printed(complementary: float) -> str:
        base = {"objective": {"terms": {"mimrl": {"complementary": complementary}}}}
        return "\n".join(dry_run(make_study_config(base=base), tmp_path))

    assert "warning: objective.terms.mimrl: I(text; audio | label) is minimised" in printed(0.01)
    assert "warning" not in printed(0.04)


def test_a_dry_run_lists_coefficients_by_level_and_what_cancels(tmp_path, monkeypatch, make_study_config):
    monkeypatch.chdir(tmp_path)
    lowered = {"term": "information", "between": ["text", "fusion"], "sense": "minimise"}
    lowered |= {"estimator": {"name": "jsd"}, "weight": 0.1}
    terms = {"cpc": {"weight": 0.3, "fusion": {"vision": 0.0}}, "lowered": lowered}
    weight = {"type": "float", "low": 0.1, "high": 1.0, "zero": 0.2}
    parameters = {"objective.terms.cpc.fusion.text": weight}
    config = make_study_config(parameters, base={"objective": {"terms": terms}})
    text = "\n".join(dry_run(config, tmp_path))
    rows = [line for line in text.splitlines() if line.startswith(("    cpc.", "    lowered."))]
    assert [" ".join(row.split()) for row in rows] == [
        "cpc.fusion.text 1 from 0.1 to 1.0, or 0 infonce I(fusion; text)",
        "cpc.fusion.audio 1 fixed infonce I(fusion; audio)",
        "lowered.weight 0.1 fixed jsd - I(text; fusion)",
    ]
    assert text.index("  fusion level") < text.index("    cpc.fusion.text")
    warning = (
        "warning: I(fusion; text) is raised by objective.terms.cpc.fusion.text and lowered by "
        "objective.terms.lowered.weight, so that one undoes the other, entirely in the base"
    )
    assert warning in text


def test_samples_lie_in_the_space(make_study_config):
    config = make_study_config()
    points = samples(config)
    assert len({point["optim.lr"] for point in points}) == 3
    for point in points:
        assert config.space.decode(config.space.encode(point)) == point


def test_what_the_data_lack_is_not_shown(tmp_path, monkeypatch, make_study_config):
    monkeypatch.chdir(tmp_path)
    data = {"name": "planted", "modalities": ["text", "audio"]}
    text = "\n".join(dry_run(make_study_config(base={"data": data}), tmp_path))
    base = text[text.index("base configuration") :]
    assert "nor what is about vision, which these data lack" in base
    assert "  audio:\n" in base
    assert "  vision:\n" not in base


def test_data_that_cannot_be_read_cost_only_what_needs_them(tmp_path, monkeypatch, make_study_config):
    monkeypatch.chdir(tmp_path)
    data = {"name": "mosi", "path": str(tmp_path / "missing.npz")}
    lines = []
    with pytest.raises(DataError, match="missing"):
        deque(map(lines.append, dry_run(make_study_config(base={"data": data}), tmp_path)))
    assert lines[-1].startswith("base configuration")
    assert sum(line.startswith("sampled configuration") for line in lines) == 3
