"""The sampler of a study: it sees what the study remembers, and the study remembers its notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from mmsa.interface import Scalar
from mmsa.search.records import Ending
from mmsa.search.samplers.proposals import PastTrial, Proposal, Proposals, with_excesses
from mmsa.search.study.stored import STATES, finite_metrics, is_proposed, reported
from mmsa.search.study.trial_store import TrialStore
from mmsa.search.study.view import StudyView


class Sampling:
    """Proposes points of the space from those trials that are points of it.

    The sampler sees neither finalists, whose values are those of another task, nor trials that continued from
    another trial's weights.

    Args:
        study: as it is now.
        store: of the same study.
    """

    def __init__(self, study: StudyView, store: TrialStore):
        self._study, self._config, self._store = study, study.config, store
        known = [point for best in study.priors.values() for point in best]
        self.proposals = Proposals(
            self._config.space,
            [objective.direction for objective in self._config.search.objectives],
            partial(self._config.build_sampler, prior=known),
            self._config.sampler.memory,
            study.attributes.get("sampler", {}),
            self._past(),
        )

    def ask(self, number: int, point: Mapping[str, Scalar] | None) -> Proposal:
        """The proposal for the trial that begins: ``point`` if given, otherwise the sampler's."""
        proposal = self.proposals.ask(number, point)
        if self.proposals.notes != self._study.attributes.get("sampler", {}):
            self._store.remember(sampler=self.proposals.notes)
        return proposal

    def pause(self, number: int) -> None:
        """Tell the sampler that a trial waits at a rung."""
        if is_proposed(self._store.trials[number]):
            self.proposals.pause(number, self._shown(number))

    def tell(self, number: int, ending: Ending, values: list[float] | None) -> None:
        """Tell the sampler how a trial ended."""
        if not is_proposed(self._store.trials[number]):
            return
        excesses = self._config.excesses(finite_metrics(ending.metrics))
        notes = self.proposals.tell(number, STATES[ending.outcome], values, self._shown(number), excesses)
        if notes != self._store.trials[number].user_attrs.get("sampler", {}):
            self._store.note(number, "sampler", notes)

    def _past(self) -> Iterator[PastTrial]:
        trials = zip(self._study.trials(), self._store.trials, strict=True)
        for record, trial in trials:
            if is_proposed(trial) and not record.superseded:
                params = self._config.space.encode_drawn(self._study.point(record), trial.params)
                excesses = self._config.excesses(record.metrics)
                notes = with_excesses(trial.user_attrs.get("sampler", {}), excesses)
                shown = self._shown(trial.number)
                yield PastTrial(trial.number, params, trial.state, trial.values, shown, notes)

    def _shown(self, number: int) -> dict[int, float]:
        """The trial's values by epoch; none with several objectives, since Optuna's TPE raises on them."""
        single = len(self._config.search.objectives) == 1
        return reported(self._store.trials[number]) if single else {}
