"""The stages of a search, and what the trials of each are run with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmsa.config import with_overrides
from mmsa.data import Corpus
from mmsa.errors import ConfigError
from mmsa.experiment import RunConfig
from mmsa.models import encode_text
from mmsa.provenance import running_code
from mmsa.search.definition.misfits import refuse_misfits, refuse_unfit_finalists
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.execution.cluster import Slots
from mmsa.search.execution.gang import trainable_for
from mmsa.search.execution.memory import guessed_memory
from mmsa.search.execution.trial import PEAK_MEMORY, SearchTrial, Workplace
from mmsa.search.study.view import StudyView
from mmsa.tracking import Stage
from mmsa.training import count_parameters


@dataclass(frozen=True)
class StagePlan:
    """How the trials of a stage are run.

    base: of their configurations. corpora: raw, and with the text encoded for the base. cache: folder of
    encoded text. pauses: see ``Workplace``. idle: searched parameters without an effect, and why.
    """

    stage: Stage
    base: RunConfig
    corpora: tuple[Corpus, Corpus]
    cache: Path
    pauses: Collection[int] = ()
    idle: Mapping[str, str] = field(default_factory=dict)

    def trainable(
        self, slot: Slots, objective: str, checkpoint_seconds: float, collective_seconds: float
    ) -> type[SearchTrial]:
        """What Tune runs; puts the corpora into Ray's store, once a node."""
        work = Workplace(
            self.base,
            objective,
            self.cache,
            checkpoint_seconds,
            Path.cwd(),
            self.pauses,
            collective_seconds,
            running_code(),
        )
        return trainable_for(slot, self.corpora, work)

    def memory(self, study: StudyView) -> int:
        """Bytes of a trial's process: as measured in earlier launches, or a guess."""
        trials = (trial for trial in study.trials() if trial.stage == self.stage)
        measured = max((trial.notes.get(PEAK_MEMORY, 0) for trial in trials), default=0)
        return measured or guessed_memory(count_parameters(self.base, self.corpora[1], cache=self.cache))


def stage_plans(config: StudyConfig, raw: Corpus, cache: Path) -> list[StagePlan]:
    """The stages of a search, in order.

    Raises:
        ConfigError: for settings that do not fit each other or the data.
    """
    encoded = encode_text(raw, config.base.model, cache)
    outlook = refuse_misfits(config, encoded)
    pauses = config.build_scheduler().pauses
    plans = [StagePlan("search", config.base, (raw, encoded), cache, pauses, outlook.idle)]
    if config.search.finalists is not None:
        base = with_overrides(config.base, config.search.finalists.set)
        try:
            encoded = encode_text(raw, base.model, cache)
        except ConfigError as error:
            raise ConfigError("search.finalists.set", error.problems) from None
        refuse_unfit_finalists(config, base, encoded)
        plans.append(StagePlan("finalist", base, (raw, encoded), cache))
    return plans
