"""On a real Ray: warm processes, five ways to end, pruning, continuing, sealed and shared data, nodes.

All tests of Ray that are not slow are here: a file is given to one process, and each starts a Ray of its own.
"""

from __future__ import annotations

import gc
import math
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import too_wide
from handing import ROOM, Handing
from ray import tune
from ray.tune.search import Searcher
from witness import Witness

from mmsa.data import Corpus, open_corpus
from mmsa.data.planted import Planted
from mmsa.data.rows import Rows
from mmsa.errors import DataError, SealedTest, StudyError
from mmsa.search.corpora import Corpora
from mmsa.search.costs import SearchBudget
from mmsa.search.execution import nodes
from mmsa.search.execution.callback import MOST_FAILURES_IN_A_ROW
from mmsa.search.execution.trial import CHECKPOINT, Assignment, TrialRun, WorkerContext
from mmsa.search.execution.tune import TuneScheduler
from mmsa.search.execution.tune_trials import StudyTrials
from mmsa.search.records import Cost
from mmsa.search.schedulers import NoScheduler
from mmsa.training import run

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

LR = {"optim.lr": {"type": "float", "low": 1e-9, "high": 1e30, "log": True}}
SMALL = {"model": {"name": "late_fusion"}}


def train(epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "batch_size": 20, "device": "cpu", "threads": 1}


def small(make_study_config: Any, epochs: int = 2, **search: Any) -> Any:
    """Without a scheduler, unless one is given."""
    base = {**SMALL, "train": train(epochs)}
    return make_study_config(base=base, **{"scheduler": {"name": "none"}, **search})


@pytest.fixture(scope="module")
def finished(launch_for_module, make_study_config) -> Any:
    """A study of six trials, the splits drawn for it here, the assignments alive as each trial began."""
    drawn: list[str] = []
    alive: list[int] = []
    draw, witness = Planted._draw, Witness()
    witness.on["trial_started"] = lambda *_: alive.append(
        sum(isinstance(thing, Assignment) for thing in gc.get_objects())
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Planted, "_draw", lambda self, split: drawn.append(split) or draw(self, split))
        launched = launch_for_module(small(make_study_config, epochs=3, trials=6), witness, concurrency=2)
    return launched, drawn, alive


def test_a_search_runs_its_trials_in_few_warm_processes(finished):
    trials = finished[0].study.trials()
    assert [(trial.number, trial.outcome) for trial in trials] == [(n, "completed") for n in range(6)]
    assert len({trial.notes["process"] for trial in trials}) <= 2


def test_a_search_remembers_which_rows_it_saw(finished):
    study = finished[0].study
    assert study.seen == Rows.of(open_corpus(study.config.base.data), "train", "valid")


def test_nothing_is_kept_of_trials_that_have_ended(finished):
    """Tune has them in its list for ever; a driver of thousands would grow."""
    alive = finished[2]
    assert max(alive) <= 4, alive


def test_only_the_best_checkpoint_is_kept(finished):
    summary, trials = finished[0].summary, finished[0].study.trials()
    best = min(trials, key=lambda trial: trial.values)
    assert (summary.best.number, summary.best.value) == (best.number, best.values[0])
    assert summary.best.overrides == best.overrides
    assert summary.default == trials[0].values[0]
    assert summary.successful
    folder = summary.runs / "tried" / "trials"
    assert [path.parent.name for path in folder.glob(f"*/{CHECKPOINT}")] == [str(best.number)]
    assert not (summary.runs / "tried" / "ray").exists()


@pytest.mark.slow
def test_two_trials_run_at_once(launch, make_study_config, witness):
    """No trial ends before the other one runs, however long that takes."""
    running: set[int] = set()
    witness.on["trial_epoch"] = lambda number, *_: running.add(number)

    class UntilBothRun(SearchBudget):
        def spent(self, seconds: float, cost: Cost) -> str:
            return "both run" if len(running) == 2 else ""

    endless = {**SMALL, "train": {**train(epochs=10**5), "patience": 10**5}}
    launched = launch(
        make_study_config(base=endless, scheduler={"name": "none"}),
        witness,
        concurrency=2,
        budget=UntilBothRun(),
    )
    assert launched.study.counts() == {"running": 2}


def test_a_trial_reproduces_outside_of_the_search(finished):
    study = finished[0].study
    trial = study.trial(1)
    config = study.trial_config(trial)
    assert run(config, open_corpus(config.data)).metrics["valid/mae"] == trial.values[0]


def test_a_search_draws_train_and_valid_only(finished):
    launched, drawn, _ = finished
    assert sorted(drawn) == ["train", "valid"]
    trials = launched.study.trials()
    names = {name for trial in trials for epoch in [*trial.epochs.values(), trial.metrics] for name in epoch}
    assert any(name.startswith("valid/") for name in names)
    assert not any(name.startswith("test/") for name in names)


def test_observers_are_told_in_order(finished):
    events = finished[0].witness.events
    assert [event for event, *_ in events[:1] + events[-1:]] == ["start_study", "close"]
    of_trial_1 = [event for event in events if event[1:2] == (1,)]
    ends = ["trial_measured", "trial_finished"]
    assert [event[0] for event in of_trial_1] == ["trial_started", *["trial_epoch"] * 3, *ends]
    assert [event[2] for event in of_trial_1 if event[0] == "trial_epoch"] == [1, 2, 3]


@pytest.mark.slow
def test_a_study_goes_on_where_it_ended(finished, launch_for_module, make_study_config):
    config = small(make_study_config, epochs=3, trials=6)
    nothing = launch_for_module(config)
    assert [event for event, *_ in nothing.witness.events] == ["start_study", "close"]
    assert nothing.summary.done
    assert sum(nothing.summary.launched.values()) == 0

    more = launch_for_module(config, trials="+1")
    ((_, earlier),) = more.witness.told("start_study")
    assert [card.number for card in earlier] == [0, 1, 2, 3, 4, 5]
    assert {number for number, *_ in more.witness.told("trial_started")} == {6}
    assert more.said[0] == "study tried: continues; 6 of 7 trials have ended"


@pytest.mark.slow
def test_what_a_configuration_causes_is_an_outcome_with_a_reason(launch, make_study_config):
    """Trial 1 diverges, 2 wants more memory than there is, 3 a text encoder that is not there; 4 is sound."""
    parameters = {
        **LR,
        **too_wide.PARAMETERS,
        "model.text.name": {"type": "categorical", "choices": ["mlp", "pretrained"]},
    }
    starts = [
        {"optim.lr": 1e30},
        too_wide.POINT,
        {"model.text.name": "pretrained"},
        {"optim.lr": 0.01},
    ]
    launched = launch(
        make_study_config(
            parameters,
            base={
                "model": {
                    "name": "late_fusion",
                    "text": {"name": "mlp", "output": 128},
                    "audio": {"name": "mlp", "output": 128},
                    "vision": {"name": "mlp", "output": 128},
                },
                "train": train(3),
                "optim": {"clip_norm": 0.0},
            },
            trials=5,
            starts=starts,
            scheduler={"name": "asha", "grace": 1},
        )
    )
    trials = launched.study.trials()
    outcomes = {trial.number: trial.outcome for trial in trials}
    assert outcomes[0] in ("completed", "pruned")
    assert (outcomes[1], outcomes[2], outcomes[3]) == ("diverged", "out_of_memory", "failed")
    assert "at step" in trials[1].reason
    assert "can't allocate memory" in trials[2].reason
    assert "text" in trials[3].reason
    told = {number: outcome for number, outcome, *_ in launched.witness.told("trial_finished")}
    assert told == outcomes
    assert "running" not in launched.study.counts()
    for trial in trials:
        assert all(map(math.isfinite, [*trial.metrics.values(), *trial.reported.values()]))


@pytest.mark.slow
def test_a_poor_trial_is_pruned_and_one_of_a_later_launch_is_compared_with_it(launch, make_study_config):
    """Without its rungs, the scheduler of the second launch would let the first trial at a rung go on."""
    config = make_study_config(
        LR,
        base={**SMALL, "train": train(8), "optim": {"lr": 0.02}},
        starts=[{"optim.lr": 1e-9}, {"optim.lr": 2e-9}],
        scheduler={"name": "asha", "grace": 3, "reduction": 2},
        trials=2,
    )
    before = [trial.outcome for trial in launch(config).study.trials()]
    after = launch(config, trials="3")
    assert before == ["completed", "pruned"]
    assert [trial.outcome for trial in after.study.trials()] == [*before, "pruned"]
    pruned = after.study.trial(2)
    assert list(pruned.reported) == list(pruned.epochs) == [1, 2, 3]
    assert pruned.reason == "not among the best after epoch 3"


@pytest.mark.slow
def test_a_search_in_which_everything_fails_gives_up(
    launch, make_study_config, witness, write_mmsa_pickle, tiny_encoder, tmp_path
):
    """The encoder to be fine-tuned is deleted once the driver has read its tokenizer."""
    write_mmsa_pickle(tmp_path / "data.pkl", steps=(5, 6, 7), change=_without_token_ids)
    encoder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    text = {"name": "pretrained", "path": str(encoder), "finetune": True, "max_length": 20}
    config = make_study_config(
        base={
            "data": {"name": "mosei", "path": str(tmp_path / "data.pkl")},
            "model": {"name": "late_fusion", "text": text},
            "train": train(2),
        },
        trials=40,
    )
    witness.on["trial_started"] = lambda *_: shutil.rmtree(encoder, ignore_errors=True)
    launched = launch(config, witness)
    assert launched.study.counts()["failed"] >= MOST_FAILURES_IN_A_ROW
    assert launched.study.finished < 40
    assert f"{MOST_FAILURES_IN_A_ROW} trials in a row failed; the last: " in launched.summary.gave_up
    assert not launched.summary.successful


def _without_token_ids(content: dict[str, dict[str, Any]]) -> None:
    for split in content.values():
        del split["text_bert"]


@pytest.mark.slow
def test_a_search_that_is_interrupted_or_has_spent_its_budget_is_continued_by_the_next_launch(
    launch, make_study_config, witness
):
    config = small(make_study_config, epochs=8, trials=3)
    spent = launch(config, budget=SearchBudget(seconds=1e-3))
    assert spent.study.trials() == []  # before the first trial
    assert spent.summary.text().endswith(
        "stopped: the time budget of this launch, 0:00:00, is spent; to continue, run the same command again"
    )

    witness.on["trial_epoch"] = lambda number, epoch, _: epoch == 3 and os.kill(os.getpid(), signal.SIGINT)
    handler = signal.getsignal(signal.SIGINT)
    interrupted = launch(config, witness, checkpoint_seconds=0.0)
    assert interrupted.summary.interrupted
    assert signal.getsignal(signal.SIGINT) is handler
    assert interrupted.study.counts() == {"running": 1}
    assert interrupted.summary.text().endswith("to continue, run the same command again")

    class ByEpoch(SearchBudget):
        def spent(self, seconds: float, cost: Cost) -> str:
            assert cost.cpu_seconds >= cost.seconds >= 0.0
            return "spent" if limit["reached"] else ""

    limit = {"reached": False}
    witness.on["trial_epoch"] = lambda number, epoch, _: limit.update(reached=(number, epoch) >= (1, 3))
    stopped = launch(config, witness, checkpoint_seconds=0.0, budget=ByEpoch())
    assert "1 was interrupted and goes on from its checkpoint" in stopped.said[0]
    assert stopped.study.counts() == {"completed": 1, "running": 1}
    assert not stopped.summary.done
    cost = stopped.study.cost().seconds

    finished = launch(config)
    assert finished.study.counts() == {"completed": 3}
    assert finished.study.cost().seconds > cost > 0.0
    for trial in finished.study.trials():
        assert list(trial.epochs) == list(range(1, len(trial.epochs) + 1))


@pytest.mark.slow
def test_workers_share_one_copy_of_the_corpus_and_leave_it_as_it_is(ray_session, make_study_config, tmp_path):
    base = small(make_study_config).base
    corpus = open_corpus(base.data)
    context = WorkerContext(base, "valid/mae", tmp_path, 9.0, tmp_path)

    @ray.remote
    def train_in_worker(corpora: tuple[Corpus, Corpus], number: int) -> dict[str, Any]:
        trial = TrialRun(
            Assignment(number, base, {}, tmp_path / str(number)), context, Corpora(*corpora, base, tmp_path)
        )
        outcomes = [trial.advance().outcome for _ in range(2)]
        arrays = [split.audio.values for split in corpora[1].splits.values()]
        copied = [array.flags.owndata or array.flags.writeable for array in arrays]
        needless = {"optuna", "sklearn", "scipy.stats", "torch._dynamo"} & sys.modules.keys()
        return {"outcomes": outcomes, "copied": any(copied), "corpus": corpora[1], "needless": needless}

    shared = ray.put((corpus, corpus))
    for worker in ray.get([train_in_worker.remote(shared, number) for number in range(2)]):
        assert worker["outcomes"] == ["running", "completed"]
        assert not worker["copied"]
        assert not worker["needless"], "each worker imports these for seconds"
        assert digest_anew(worker["corpus"]) == corpus.digest
    assert digest_anew(ray.get(shared)[1]) == corpus.digest


def digest_anew(corpus: Corpus) -> str:
    """From the arrays, whatever was computed before."""
    return Corpus(corpus.name, corpus.label_range, {n: replace(s) for n, s in corpus.splits.items()}).digest


@pytest.mark.slow
def test_workers_never_open_the_data_file(launch, make_study_config, witness, write_mmsa_pickle, tmp_path):
    """It is deleted once the driver has read it."""
    path: Path = tmp_path / "unaligned_50.pkl"
    write_mmsa_pickle(path, steps=(5, 6, 7))
    data = {"name": "mosei", "path": str(path), "modalities": ["audio", "vision"]}
    config = make_study_config(
        base={**SMALL, "data": data, "train": train(2)},
        trials=2,
    )
    witness.on["start_study"] = lambda *_: path.unlink()
    assert launch(config, witness).study.counts() == {"completed": 2}
    write_mmsa_pickle(path, steps=(5, 6, 7))
    with pytest.raises(SealedTest):
        open_corpus(config.base.data)["test"]


def test_missing_data_leave_no_study_behind(launch, make_study_config, tmp_path):
    data = {"name": "mosei", "path": str(tmp_path / "absent.pkl"), "modalities": ["audio", "vision"]}
    with pytest.raises(DataError, match=r"absent\.pkl"):
        launch(make_study_config(base={**SMALL, "data": data}))
    assert not (tmp_path / "runs").exists()


def test_a_study_that_another_driver_has_is_refused(launch, make_study_config, tmp_path):
    from mmsa.search.study.study import Study

    config = small(make_study_config)
    with Study.open(config, tmp_path / "runs"), pytest.raises(StudyError, match="is searching this study"):
        launch(config)


def test_real_nodes_answer(ray_session, tmp_path):
    (found,) = nodes.ask_nodes(tmp_path, [tmp_path, Path("/nowhere")])
    assert (found.folder, list(found.unseen)) == ("", ["/nowhere"])
    assert abs(found.ahead) < 5
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    nodes.check_nodes(pytest.fail, tmp_path)


@pytest.mark.slow
def test_a_process_that_starts_is_kept_while_another_serves_the_trials(ray_session, tmp_path):
    """Trials are shorter than the start of a process, which Tune would end where another one is free.

    There are trials until two processes have served one, however long a start takes on this machine.
    """
    first = tmp_path / "first"
    served, begun = tmp_path / "served", tmp_path / "begun"
    served.mkdir()
    begun.mkdir()

    class UntilTwoServed(Handing):
        def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
            if len(list(served.iterdir())) == 2:
                return str(Searcher.FINISHED)
            return super().suggest(trial_id)

    class SlowToStart(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            (begun / str(os.getpid())).touch()
            try:
                first.touch(exist_ok=False)
            except FileExistsError:
                time.sleep(2.0)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            time.sleep(0.05)
            (served / str(os.getpid())).touch()
            return {"done": True}

    # By a clock that stands: on a busy machine a process may take longer to start than it is waited for.
    scheduler = TuneScheduler(NoScheduler(NoScheduler.Config(), 1, "minimize"), lambda: 0.0)
    tune.run(
        SlowToStart,
        num_samples=-1,
        search_alg=StudyTrials(UntilTwoServed(*range(20_000)), 2),
        scheduler=scheduler,
        resources_per_trial=ROOM,
        reuse_actors=True,
        storage_path=str(tmp_path),
        verbose=0,
    )
    assert len(list(served.iterdir())) == 2
    assert len(list(begun.iterdir())) == 2
