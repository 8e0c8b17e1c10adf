"""What Tune's callbacks become in the study and before observers."""

from __future__ import annotations

from types import SimpleNamespace

from mmsa.search.searcher import StopRequest, StudyCallback, StudySearcher
from mmsa.search.study import Study


def test_a_trial_whose_process_dies_before_it_is_up_is_told_from_its_start(
    make_study_config, witness, tmp_path
):
    error_file = tmp_path / "error.txt"
    error_file.write_text("The actor never ran")
    with Study.open(make_study_config(), tmp_path / "runs") as study:
        stop = StopRequest()
        trial = SimpleNamespace(
            config=StudySearcher(study, None, stop).suggest("any"),
            last_result=None,
            error_file=error_file,
            num_failures=3,
        )
        StudyCallback(study, [witness], stop).on_trial_error(0, [trial], trial)
        assert study.trial(0).outcome == "failed"
    assert [event for event, *_ in witness.events] == ["trial_started", "trial_finished"]
