"""The study as its driver uses it: what it hands out, what it remembers, when it refuses to go on."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
import yaml

from mmsa.data.rows import Rows, RowSet
from mmsa.errors import ConfigError, StudyError
from mmsa.provenance import Code, running_code
from mmsa.search.records import Ending
from mmsa.search.study import opening
from mmsa.search.study.cards import study_card
from mmsa.search.study.storage import open_storage
from mmsa.search.study.study import Study, read_study


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path) -> str | None:
    return None if request.param == "journal" else f"sqlite:///{tmp_path / 'study.db'}"


def done(value: float) -> Ending:
    return Ending("completed", {"valid/mae": value, "valid/pearson": 0.1}, best_epoch=2, seconds=1.5)


def durable(runs: Path, url: str | None) -> optuna.Study:
    """The study as any tool of Optuna sees it."""
    return optuna.load_study(study_name="tried", storage=open_storage(runs / "tried", url))


def run(study: Study, most: int | None = None) -> list[int]:
    numbers: list[int] = []
    while (most is None or len(numbers) < most) and (suggestion := study.ask()):
        study.report(suggestion.number, 1, {"valid/mae": 1.0}, 1.0)
        study.finish(suggestion.number, done(1.0 + suggestion.number))
        numbers.append(suggestion.number)
    return numbers


def test_as_many_trials_as_asked_and_no_more(tmp_path, make_study_config, storage):
    with Study.open(make_study_config(trials=4), tmp_path, storage) as study:
        pending = [study.ask() for _ in range(4)]
        assert [suggestion.number for suggestion in pending] == [0, 1, 2, 3]
        assert study.ask() is None
        for suggestion in pending:
            study.finish(suggestion.number, done(suggestion.number))
        assert study.ask() is None
        assert (study.finished, study.remaining) == (4, 0)
    with Study.open(make_study_config(trials=4), tmp_path, storage) as study:
        assert study.ask() is None


def test_trial_0_is_the_defaults_and_starts_follow(tmp_path, make_study_config):
    config = make_study_config(starts=[{"optim.lr": 0.05}, "defaults", {"optim.lr": 0.05}])
    with Study.open(config, tmp_path) as study:
        first, second, third = (study.ask() for _ in range(3))
        assert (first.overrides, second.overrides) == ({"optim.lr": 0.001}, {"optim.lr": 0.05})
        assert third.overrides not in (first.overrides, second.overrides)
        assert [trial.start for trial in study.trials()] == ["defaults", "start 1", None]


def test_a_space_without_parameters_is_a_baseline(tmp_path, make_study_config):
    with Study.open(make_study_config({}, trials=1), tmp_path) as study:
        assert study.ask().overrides == {}
        study.finish(0, done(0.5))
        assert study.best().overrides == {}


def test_what_is_told_is_remembered(tmp_path, make_study_config, storage):
    config = make_study_config()
    with Study.open(config, tmp_path, storage) as study:
        suggestion = study.ask()
        study.report(0, 1, {"valid/mae": 0.9, "loss/task": math.nan}, 0.9)
        study.report(0, 2, {"valid/mae": 0.8}, 0.8)
        ending = Ending("completed", {"valid/mae": 0.8, "bound/cpc": math.inf}, "", 2, 3.5, {"host": "here"})
        assert study.finish(0, ending) == "completed"
    view = read_study("tried", tmp_path, storage)
    (record,) = view.trials()
    assert record == view.best() == view.trial(0)
    assert (record.outcome, record.values, record.start) == ("completed", (0.8,), "defaults")
    assert record.overrides == suggestion.overrides
    assert record.metrics == {"valid/mae": 0.8, "cost/seconds": 3.5}
    assert record.epochs == {1: {"valid/mae": 0.9}, 2: {"valid/mae": 0.8}}
    assert record.reported == {1: 0.9, 2: 0.8}
    assert (record.best_epoch, record.seconds, record.notes) == (2, 3.5, {"host": "here"})
    assert record.started <= record.finished
    assert view.config == config


def test_writes_can_be_repeated(tmp_path, make_study_config, storage):
    with Study.open(make_study_config(), tmp_path, storage) as study:
        study.ask()
        for value in (0.9, 0.7):
            study.report(0, 1, {"valid/mae": value}, value)
        assert study.finish(0, done(0.9)) == "completed"
        assert study.finish(0, Ending("failed", reason="told twice")) == "completed"
        (record,) = study.trials()
        assert (record.values, record.reason, record.reported) == ((0.9,), "", {1: 0.9})


@pytest.mark.parametrize("outcome", ["pruned", "diverged", "out_of_memory", "failed"])
def test_only_completed_trials_are_compared(tmp_path, make_study_config, outcome, storage):
    with Study.open(make_study_config(), tmp_path, storage) as study:
        study.ask()
        study.report(0, 1, {"valid/mae": 0.1}, 0.1)
        study.finish(0, Ending(outcome, {"valid/mae": 0.1}, reason="because"))
        study.ask()
        study.finish(1, done(0.6))
        assert study.best().number == 1
        bad, good = study.trials()
        assert (bad.outcome, bad.reason, bad.values) == (outcome, "because", ())
        assert study.counts() == {outcome: 1, "completed": 1}
        assert good.outcome == "completed"
        states = [trial.state.name for trial in durable(tmp_path, storage).trials]
        assert states == ["PRUNED" if outcome == "pruned" else "FAIL", "COMPLETE"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_reaches_the_sampler(tmp_path, make_study_config, value, storage):
    with Study.open(make_study_config(), tmp_path, storage) as study:
        study.ask()
        study.report(0, 1, {"valid/mae": value}, value)
        assert study.finish(0, done(value)) == "diverged"
        (record,) = study.trials()
        assert (record.outcome, record.reason) == ("diverged", f"valid/mae is {value}")
        assert (record.values, record.reported) == ((), {})
        (trial,) = durable(tmp_path, storage).trials
        assert trial.state.name == "FAIL"


def test_an_objective_that_was_not_measured_is_a_failure(tmp_path, make_study_config):
    objectives = [{"metric": "valid/acc3", "direction": "maximize"}]
    with Study.open(make_study_config(objectives=objectives), tmp_path) as study:
        study.ask()
        assert study.finish(0, done(0.5)) == "failed"
        assert (
            study.trial(0).reason
            == "valid/acc3 was not measured; there are cost/seconds, valid/mae, valid/pearson"
        )


def test_several_objectives(tmp_path, make_study_config, storage):
    objectives = [
        {"metric": "valid/mae", "direction": "minimize"},
        {"metric": "valid/pearson", "direction": "maximize"},
    ]
    config = make_study_config(objectives=objectives, trials=14, sampler={"name": "tpe", "startup": 2})
    values = [(0.5, 0.1), (0.4, 0.1), (0.4, 0.3), (0.6, 0.9)]
    with Study.open(config, tmp_path, storage) as study:
        for number, (mae, pearson) in enumerate(values):
            study.ask()
            study.report(number, 1, {"valid/mae": mae}, mae)
            study.finish(number, Ending("completed", {"valid/mae": mae, "valid/pearson": pearson}))
        study.ask()
        study.report(4, 1, {}, 0.1)
        study.finish(4, Ending("pruned"))
        assert study.best().number == 2
        assert study.trial(4).reported == {1: 0.1}
        assert [record.values for record in study.trials()[:4]] == values
        assert run(study) == list(range(5, 14))


def test_a_sampler_made_anew_does_not_repeat_itself(tmp_path, make_study_config):
    chosen = []
    for trials in (3, 5, 7):
        with Study.open(make_study_config(trials=trials), tmp_path) as study:
            while suggestion := study.ask():
                chosen.append(suggestion.overrides["optim.lr"])
                study.finish(suggestion.number, done(0.5))
    assert len(set(chosen)) == len(chosen) == 7


def test_the_same_study_elsewhere_chooses_the_same(tmp_path, make_study_config):
    config = make_study_config(sampler={"name": "tpe", "startup": 2}, trials=6)
    points = []
    for folder in ("one", "two"):
        with Study.open(config, tmp_path / folder) as study:
            run(study)
            points.append([record.overrides for record in study.trials()])
    assert points[0] == points[1]


def test_extension(tmp_path, make_study_config):
    config = make_study_config(trials=2)
    with Study.open(config, tmp_path) as study:
        run(study)
        study.extend("+2")
        assert study.asked == 4
        run(study, most=1)
    with Study.open(config, tmp_path) as study:
        assert (study.asked, study.remaining) == (4, 1)
        study.extend("+2")  # the command that was interrupted, once more
        assert study.asked == 4
        study.extend("+3")
        assert study.asked == 7
        study.extend("5")
        assert study.asked == 5
        assert run(study) == [3, 4]
        study.extend("+2")
        assert run(study) == [5, 6]
    with Study.open(make_study_config(trials=9), tmp_path) as study:
        assert study.asked == 9


@pytest.mark.parametrize("request_text", ["", "+", "0", "-3", "+0", "many", "1.5", "²"])
def test_extension_by_something_else(tmp_path, make_study_config, request_text):
    with (
        Study.open(make_study_config(), tmp_path) as study,
        pytest.raises(StudyError, match=r"\+N for N more"),
    ):
        study.extend(request_text)


def test_trials_resources_and_starts_may_change(tmp_path, make_study_config):
    one, two = {"optim.lr": 0.02}, {"optim.lr": 0.03}
    with Study.open(make_study_config(trials=2, starts=["defaults", one]), tmp_path) as study:
        run(study)
    later = make_study_config(trials=4, starts=[two, one], resources={"cpus_per_worker": 2})
    with Study.open(later, tmp_path) as study:
        assert study.ask().overrides == two
        assert study.ask().overrides not in (one, two)
        assert study.config.resources.cpus_per_worker == 2
        assert len(study.space_versions) == 1
    assert read_study("tried", tmp_path).config == later
    kept = yaml.safe_load((tmp_path / "tried" / "space.yaml").read_text(encoding="utf-8"))
    assert kept["search"]["trials"] == 4


def test_other_data_need_another_name(tmp_path, make_study_config):
    config = make_study_config()
    with Study.open(config, tmp_path) as study:
        study.bind_corpus("a" * 64)
        study.bind_corpus("a" * 64)
    with Study.open(config, tmp_path) as study, pytest.raises(StudyError, match="the data changed since"):
        study.bind_corpus("b" * 64)
    assert read_study("tried", tmp_path).attributes["corpus_digest"] == "a" * 64


def test_where_it_comes_from_is_remembered(tmp_path, make_study_config):
    with Study.open(make_study_config(), tmp_path):
        pass
    with Study.open(make_study_config(study="second"), tmp_path):
        pass
    first, second = (read_study(name, tmp_path).attributes for name in ("tried", "second"))
    assert first["identity"] != second["identity"]
    assert first["versions"]["torch"]


def test_trials_of_another_storage_are_not_taken_for_these(tmp_path, make_study_config):
    config = make_study_config()
    with Study.open(config, tmp_path) as study:
        (study.folder / "trials" / "0").mkdir()
    (tmp_path / "tried" / "study.journal").unlink()
    with pytest.raises(StudyError, match="does not belong to the study"):
        Study.open(config, tmp_path)


def test_one_database_does_not_serve_two_folders(tmp_path, make_study_config):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with Study.open(make_study_config(), tmp_path / "here", url):
        pass
    with pytest.raises(StudyError, match="does not belong to the study"):
        Study.open(make_study_config(), tmp_path / "there", url)


def test_somebody_elses_study_is_left_alone(tmp_path, make_study_config):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    theirs = optuna.create_study(study_name="tried", storage=url)
    theirs.add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(StudyError, match="not mmsa's"):
        Study.open(make_study_config(), tmp_path, url)
    assert len(theirs.trials) == 1


def test_a_database_that_cannot_be_opened(tmp_path, make_study_config):
    url = f"sqlite:///{tmp_path / 'missing' / 'study.db'}"
    with pytest.raises(StudyError, match=r"--storage sqlite:.*unable to open"):
        Study.open(make_study_config(), tmp_path, url)
    with pytest.raises(StudyError) as caught:
        Study.open(make_study_config(), tmp_path, "nosuch://user:secret@host/study")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:a?mode=memory&uri=true"]
)
def test_a_database_in_memory_is_refused(tmp_path, make_study_config, url):
    with pytest.raises(StudyError, match="gone with its process"):
        Study.open(make_study_config(), tmp_path, url)


def test_folders_and_names_that_cannot_be_are_named(tmp_path, make_study_config):
    (tmp_path / "file").touch()
    for runs in (tmp_path / "file", Path("/proc/runs"), Path("/dev/null")):
        with pytest.raises(StudyError, match="Give --runs a folder"):
            Study.open(make_study_config(), runs)
        with pytest.raises(StudyError, match=r"no study 'tried'|there is no folder"):
            read_study("tried", runs)
    with pytest.raises(StudyError, match=r"no study 'x+\.\.\.'"):
        read_study("x" * 300, tmp_path)


def test_each_launch_with_other_code_is_remembered(tmp_path, make_study_config, monkeypatch):
    for _ in range(2):
        with Study.open(make_study_config(), tmp_path) as study:
            (only,) = study.attributes["code"]
    assert (only["path"], only["digest"]) == (running_code().path, running_code().digest)
    monkeypatch.setattr(opening, "running_code", lambda: Code("/other/mmsa", "ab"))
    with Study.open(make_study_config(), tmp_path) as study:
        assert [code["path"] for code in study.attributes["code"]] == [only["path"], "/other/mmsa"]
        study.bind_corpus("77ab")
        tags = study_card(study).tags
        assert tags["code_digest"] == "ab"
        assert not [tag for tag in tags.values() if "/" in tag]


def test_reading_a_study_that_is_not_there(tmp_path, make_study_config):
    with Study.open(make_study_config(), tmp_path):
        pass
    with pytest.raises(StudyError, match=r"no study 'treid' in .*Did you mean 'tried'"):
        read_study("treid", tmp_path)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with pytest.raises(StudyError, match="no study 'tried' in this storage"):
        read_study("tried", tmp_path, url)


def test_reading_does_not_disturb(tmp_path, make_study_config):
    with Study.open(make_study_config(), tmp_path) as study:
        suggestion = study.ask()
        (record,) = read_study("tried", tmp_path).trials()
        assert (record.outcome, record.overrides) == ("running", suggestion.overrides)
        study.finish(0, done(0.5))
    assert read_study("tried", tmp_path).counts() == {"completed": 1}


def test_a_configuration_with_unread_starts_is_refused_before_anything_is_stored(tmp_path, make_study_config):
    with pytest.raises(ConfigError, match="load_space"):
        Study.open(make_study_config(starts=["best.yaml"]), tmp_path)
    assert not (tmp_path / "tried").exists()


def test_failed_trials_are_tried_again_each_as_one_trial_more(tmp_path, make_study_config, storage):
    config = make_study_config(trials=4)
    outcomes = ["completed", "failed", "diverged", "pruned"]
    with Study.open(config, tmp_path, storage) as study:
        for number, outcome in enumerate(outcomes):
            study.ask()
            study.finish(number, Ending(outcome, {"valid/mae": 1.0}))
        assert study.retry_failed() == 2
        assert (study.asked, study.remaining) == (6, 2)
        assert study.retry_failed() == 0  # asked twice
        again = study.ask()
        assert (again.number, again.overrides) == (4, study.trial(1).overrides)
    with Study.open(config, tmp_path, storage) as study:
        assert study.ask().number == 4
        study.finish(4, Ending("failed"))
        assert study.ask().overrides == study.trial(2).overrides
        study.finish(5, done(0.5))
        assert study.ask() is None
        assert [trial.retry_of for trial in study.trials()] == [None, None, None, None, 1, 2]
        assert study.retry_failed() == 1  # the one that failed once more
        assert study.ask().overrides == study.trial(1).overrides
        assert study.trial(6).retry_of == 4
        study.extend("+1")
        assert study.asked == 8


@pytest.mark.parametrize("use", [Study.open, lambda config, runs: read_study(config.study, runs)])
def test_a_study_of_before_versions_says_what_it_is(tmp_path, make_study_config, use):
    config = make_study_config()
    with Study.open(config, tmp_path) as study:
        study._store.remember(**{"version/1": None, "git_commit": "77ab"})
    with pytest.raises(StudyError, match=r"begun with an earlier version of mmsa \(commit 77ab\)"):
        use(config, tmp_path)


@pytest.mark.parametrize("use", [Study.open, lambda config, runs: read_study(config.study, runs)])
def test_a_study_with_settings_of_another_version_of_mmsa_says_so(tmp_path, make_study_config, use):
    config = make_study_config()
    with Study.open(config, tmp_path) as study:
        space = f"{study.attributes['space']}forgotten: 1\n"
        version = {**study.attributes["version/1"], "space": space}
        study._store.remember(space=space, **{"version/1": version})
    with pytest.raises(StudyError, match=r"(?s)forgotten.*written by an earlier version of mmsa"):
        use(config, tmp_path)


def test_what_it_saw_is_remembered_once_and_with_what_earlier_studies_saw(tmp_path, make_study_config):
    ours, theirs, before = (Rows(RowSet.of("data", [name])) for name in ("a", "b", "c"))
    for name, rows in (("first", theirs), ("older", None)):
        with Study.open(make_study_config(study=name), tmp_path) as study:
            study.bind_corpus("a" * 64, rows)
            study.ask()
            study.finish(0, done(0.5))
    with Study.open(make_study_config(priors=["first", "older"]), tmp_path) as study:
        assert study.seen is None
        study.bind_corpus("a" * 64, ours)
        study.bind_corpus("a" * 64, before)
        assert study.seen == ours | theirs
    assert read_study("older", tmp_path).seen is None
    assert read_study("tried", tmp_path).seen == ours | theirs
