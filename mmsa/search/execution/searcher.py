"""Where Ray Tune asks for trials: from the study, and those that its scheduler lets go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ray.tune.search import Searcher

from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.execution.checkpoints import trial_folder
from mmsa.search.execution.memory import Room
from mmsa.search.execution.stop_request import StopRequest
from mmsa.search.execution.trial import Assignment
from mmsa.search.records import Suggestion
from mmsa.search.schedulers import Replacement, Scheduler
from mmsa.search.study.cards import shown, trial_config
from mmsa.search.study.study import Study
from mmsa.tracking import Stage


class StudySearcher(Searcher):  # type: ignore[misc]
    """Hands out the study's trials: those that were paused and shall go on, then those the study asks for.

    ``replace`` is called with what the scheduler wants replaced.
    """

    def __init__(
        self,
        study: Study,
        stage: Stage,
        scheduler: Scheduler,
        room: Room,
        stop: StopRequest,
        replace: Callable[[Sequence[Replacement]], None],
    ):
        super().__init__()
        self._replace = replace
        self._study, self._stage, self._scheduler, self._stop = study, stage, scheduler, stop
        self._room = room
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Assignment] | str | None:
        """The next trial, that there is none, or None for none before another report."""
        if len(self._live) >= self._room.count:
            return None
        suggestion = None
        with self._stop.on_study_error():
            suggestion = self._promoted() or self._study.ask(self._stage) or self._promoted(closing=True)
        if suggestion is None:
            return None if self._waits() else str(Searcher.FINISHED)
        if suggestion.start == DEFAULTS:
            self._scheduler.spare(suggestion.number)  # all others are compared with it
        config = trial_config(self._study, suggestion)
        self._live.add(trial_id)
        assignment = Assignment(
            suggestion.number,
            config,
            shown(self._study, suggestion),
            trial_folder(self._study, suggestion.number),
            known=max(self._study.trial(suggestion.number).epochs, default=0),
            inherited=max((change["after"] for change in suggestion.course), default=0),
        )
        return {"assignment": assignment}

    def _promoted(self, closing: bool = False) -> Suggestion | None:
        if closing:
            if self._num_running():
                return None
            self._replace(self._scheduler.replacements())
        number = self._scheduler.promote(closing)
        return None if number is None else self._study.resume(number)

    def _waits(self) -> bool:
        """Whether a live trial may still lead to another: its report lets a paused one go on, or its process
        dies and it is handed out again."""
        return bool(self._live) and not self._stop.stop_all()

    def _num_running(self) -> int:
        return self._study.counts().get("running", 0) - len(self._scheduler.paused)

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """There is room for another; ``StudyCallback`` is told more."""
        self._live.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is durable."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: every launch is a fresh Tune run."""
