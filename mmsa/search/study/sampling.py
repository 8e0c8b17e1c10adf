"""The sampler of a study: shown what the study remembers, and what it writes down is remembered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from mmsa.search.records import Ending
from mmsa.search.samplers.proposals import PastTrial, Proposal, Proposals, with_excesses
from mmsa.search.space.scalars import Scalar
from mmsa.search.study.ledger import Ledger
from mmsa.search.study.stored import STATES, finite, is_proposed, reported
from mmsa.search.study.view import StudyView


class Sampling:
    """Proposes points of the search, of which alone the sampler knows: finalists are another task, and what
    went on from another trial's weights is no point.

    Args:
        study: as it is now.
        ledger: of the same study.
    """

    def __init__(self, study: StudyView, ledger: Ledger):
        self._study, self._config, self._ledger = study, study.config, ledger
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
        """The point of the trial that is to be begun: the one given, or else the sampler's."""
        proposal = self.proposals.ask(number, point)
        if self.proposals.notes != self._study.attributes.get("sampler", {}):
            self._ledger.remember(sampler=self.proposals.notes)
        return proposal

    def pause(self, number: int) -> None:
        """A trial waits at a rung."""
        if is_proposed(self._ledger.trials[number]):
            self.proposals.pause(number, self._shown(number))

    def tell(self, number: int, ending: Ending, values: list[float] | None) -> None:
        """How a trial ended."""
        if not is_proposed(self._ledger.trials[number]):
            return
        excesses = self._config.excesses(finite(ending.metrics))
        notes = self.proposals.tell(number, STATES[ending.outcome], values, self._shown(number), excesses)
        if notes != self._ledger.trials[number].user_attrs.get("sampler", {}):
            self._ledger.note(number, "sampler", notes)

    def _past(self) -> Iterator[PastTrial]:
        trials = zip(self._study.trials(), self._ledger.trials, strict=True)
        for record, trial in trials:
            if is_proposed(trial) and not record.superseded:
                params = self._config.space.encode_drawn(self._study.point(record), trial.params)
                excesses = self._config.excesses(record.metrics)
                notes = with_excesses(trial.user_attrs.get("sampler", {}), excesses)
                yield PastTrial(
                    trial.number, params, trial.state, trial.values, self._shown(trial.number), notes
                )

    def _shown(self, number: int) -> dict[int, float]:
        """The trial's values by epoch. With several objectives Optuna has no use for them: TPE raises."""
        single = len(self._config.search.objectives) == 1
        return reported(self._ledger.trials[number]) if single else {}
