"""Trials as Ray Tune keeps them, without what Tune does for trials that it may have to restore.

For each trial Tune would ask Ray's control store five times for the class that runs it, copy and parse the
experiment, and write down a trial that nobody reads: the study is the truth.
"""

from __future__ import annotations

from typing import Any

from ray.tune import Trainable
from ray.tune.experiment import Experiment, Trial
from ray.tune.registry import get_trainable_cls
from ray.tune.search import ConcurrencyLimiter, Searcher, SearchGenerator
from ray.tune.trainable.metadata import _TrainingRunMetadata
from typing_extensions import override


class StudyTrial(Trial):  # type: ignore[misc]
    """A trial that knows the class that runs it; ``settings`` are Tune's."""

    run_metadata: _TrainingRunMetadata

    def __init__(self, trainable: type[Trainable], name: str, **settings: Any):
        self._trainable = trainable
        super().__init__(name, stub=True, **settings)  # a stub is not looked up

    @override
    def get_trainable_cls(self) -> type[Trainable]:
        return self._trainable

    def forget(self) -> None:
        """Drop everything a finished trial holds.

        Tune keeps every trial in its list for ever: a driver of thousands would grow by their configurations
        and reports.
        """
        checkpoints = self.run_metadata.checkpoint_manager
        self.run_metadata = _TrainingRunMetadata()
        self.run_metadata.checkpoint_manager = checkpoints
        nothing: dict[str, Any] = {}
        self.config = self._Trial__unresolved_config = nothing

    @override
    def get_json_state(self) -> tuple[str, str]:
        return "{}", "{}"


class StudyTrials(SearchGenerator):  # type: ignore[misc]
    """Makes trials of what ``searcher`` suggests while fewer than ``most`` are unfinished."""

    def __init__(self, searcher: Searcher, most: int):
        # Tune takes from the limiter how many workers it may start at once.
        super().__init__(ConcurrencyLimiter(searcher, most))

    @override
    def add_configurations(self, experiments: list[Experiment]) -> None:
        super().add_configurations(experiments)
        self._trainable = get_trainable_cls(self._experiment.spec["run"])

    @override
    def create_trial_if_possible(self, experiment_spec: dict[str, Any]) -> StudyTrial | None:
        trial_id = Trial.generate_id()
        config = self.searcher.suggest(trial_id)
        if config == Searcher.FINISHED:
            self.set_finished()
        if not isinstance(config, dict):
            return None
        return StudyTrial(
            self._trainable,
            experiment_spec["run"],
            config=config,
            trial_id=trial_id,
            storage=experiment_spec["storage"],
            placement_group_factory=experiment_spec["resources_per_trial"],
            trial_name_creator=experiment_spec["trial_name_creator"],
            trial_dirname_creator=experiment_spec["trial_dirname_creator"],
            max_failures=experiment_spec["max_failures"],
        )
