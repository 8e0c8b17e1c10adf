"""The durable study: what was asked for, what runs, how every trial ended. Optuna's storage is the truth.

One driver at a time writes, the one that holds the study's lease. Every write can be repeated: a driver that
dies between two of them leaves a trial that the next driver adopts under the same number and finishes again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

from optuna.trial import FrozenTrial

from mmsa.data.rows import Rows
from mmsa.errors import StudyError, shortened
from mmsa.interface import DataNature, Metrics, Outcome, ReferencePoint, Scalar, SplitCard, Stage
from mmsa.search.costs import CostMeter, Share
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Cost, Ending, Suggestion, TrialTarget
from mmsa.search.schedulers import Replacement
from mmsa.search.study.backlog import Backlog
from mmsa.search.study.endings import judged
from mmsa.search.study.opening import extended, reconcile
from mmsa.search.study.sampling import Sampling
from mmsa.search.study.storage import DriverStorage
from mmsa.search.study.stored import (
    ENDING,
    EPOCH,
    FINALIST_OF,
    PARENT,
    REFERENCE,
    REPLACES,
    STATES,
    finite_metrics,
    reported,
    stage_of,
    stored_ending,
    stored_epoch,
    understood,
)
from mmsa.search.study.successors import successor
from mmsa.search.study.trial_store import TrialStore
from mmsa.search.study.view import StudyView, read_study

__all__ = ["Study", "StudyView", "read_study"]


class Study(StudyView):
    """A study opened by the one driver that may write to it; a context manager."""

    def __init__(
        self,
        storage: DriverStorage,
        store: TrialStore,
        config: StudyConfig,
        folder: Path,
        starts: Sequence[Mapping[str, Scalar]],
    ):
        super().__init__(store, config)
        self.folder = folder
        self._storage, self._store = storage, store
        self._meter = CostMeter(super().cost())
        self._stop_rule = config.stop
        self._num_finalists = sum(stage_of(trial) == "finalist" for trial in store.trials)
        # In this order: a driver may have died between remembering a replacement, beginning its trial, and
        # ending the loser. Whatever still runs outside the space afterwards was left by an edit.
        self._begin_successors()
        self._end_replaced()
        self._end_superseded()
        self._backlog = Backlog(self, starts)
        self._sampling = Sampling(self, store)

    @classmethod
    def open(cls, config: StudyConfig, runs: Path, storage: str | None = None) -> Study:
        """Create the study, or continue it.

        Args:
            config: what to search; the space of an existing study may have been edited (see ``versions``).
            runs: the folder of all studies; this one's is below it, under its name.
            storage: an SQLAlchemy URL; without one, a journal file in the study's folder.

        Raises:
            StudyError: if another driver has the study, or it cannot continue with this configuration.
        """
        starts = config.starts()
        folder = runs / config.study
        try:
            (folder / "trials").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(
                f"study {shortened(config.study)!r} cannot have a folder in {runs}: {error.strerror}. Give "
                "--runs a folder that can be written to, and `study:` a name that can be one."
            ) from error
        opened = DriverStorage(folder, config.study, storage)
        try:
            directions = [objective.direction for objective in config.search.objectives]
            with understood(config.study):
                metrics = [objective.metric for objective in config.search.objectives]
                store = TrialStore(opened.trials, config.study, directions, metrics)
                reconcile(store, config, runs, storage)
                return cls(opened, store, config, folder, starts)
        except BaseException:
            opened.close()
            raise

    def trial_folder(self, number: int) -> Path:
        """The folder of what belongs to one trial only, such as its checkpoint."""
        return (self.folder / "trials" / str(number)).resolve()

    def _end_replaced(self) -> None:
        """Finish the trials that a driver had replaced when it died."""
        for replacement in self.replacements:
            loser = self.trial(replacement.loser)
            if loser.outcome == "running":
                self._end(loser.number, self.ending_of_paused(loser.number, replacement.reason))

    def _begin_successors(self) -> list[int]:
        """Begin the trial of each remembered replacement that has none yet; may be repeated at any point."""
        begun = {trial.user_attrs.get(REPLACES) for trial in self._store.trials}
        due = [replacement for replacement in self.replacements if replacement.loser not in begun]
        return [self._store.begin({}, {}, **successor(self, replacement)).number for replacement in due]

    def _end_superseded(self) -> None:
        """End the running trials that an edit has put outside the space."""
        number = self.space_versions[-1].number
        reason = f"was running when the space was edited, and does not lie in version {number} of it"
        for trial in self.trials():
            if trial.outcome == "running" and trial.superseded:
                self._end(trial.number, Ending("pruned", reason=reason))

    def bind_corpus(
        self,
        digest: str,
        seen: Rows | None = None,
        constants: Mapping[str, Mapping[str, float]] | None = None,
        splits: Sequence[SplitCard] = (),
        nature: DataNature | None = None,
    ) -> None:
        """Remember the data that the study is about.

        Args:
            digest: of train and valid.
            seen: the rows that its trials train on or are compared on.
            constants: metrics of constant predictors on valid, see ``constant_metrics``.
            splits: what observers are told of the data.
            nature: what decides which commands make sense of the study.

        Raises:
            StudyError: if the study is about other data.
        """
        known = self.attributes.get("corpus_digest")
        if known is None:
            self._store.remember(corpus_digest=digest)
        elif known != digest:
            raise StudyError(
                f"the data changed since study {self.name!r} was begun "
                f"(digest {known[:12]}, now {digest[:12]}). "
                "Bring the earlier data back, or write another name after `study:`."
            )
        if constants and "constants" not in self.attributes:
            self._store.remember(constants=constants)
        if seen is not None and "seen" not in self.attributes:
            self._store.remember(seen=seen.to_dict())
        if splits and "splits" not in self.attributes:
            self._store.remember(splits=[asdict(split) for split in splits])
        if nature is not None and "nature" not in self.attributes:
            self._store.remember(nature=asdict(nature))

    def remember_reference(self, point: ReferencePoint) -> None:
        """Remember a reference point, in place of what was known of it; see ``references``."""
        known = {**asdict(point), "metrics": finite_metrics(point.metrics)}
        self._store.remember(**{f"{REFERENCE}{point.name}": known})

    def forget_reference(self, name: str) -> None:
        """Forget a reference point that the base does not have any more."""
        self._store.remember(**{f"{REFERENCE}{name}": None})

    def extend(self, request: str) -> None:
        """Ask for ``"N"`` trials in all, or for ``"+N"`` more; retries come on top.

        A ``"+N"`` that is repeated while trials of the first one are outstanding is the same request, so that
        a killed command can simply be run again.

        Raises:
            StudyError: for anything else.
        """
        target = extended(self._target, request, self.remaining)
        if target != self._target:
            self._aim(target)

    def _aim(self, target: TrialTarget) -> None:
        self._store.remember(target=asdict(target))

    def retry_failed(self) -> int:
        """Retry each trial that diverged, ran out of memory or failed, as one additional trial each.

        A trial is retried once. If the retry fails too, another call retries that one.

        Returns:
            How many trials were added.
        """
        known = self.retried
        trials = (trial for trial in self.trials() if trial.failed and not trial.superseded)
        failed = [trial for trial in trials if trial.number not in known]
        if failed:
            self._store.remember(retried=[*known, *(trial.number for trial in failed)])
            self._backlog.retry(self, failed)
        return len(failed)

    def replace(self, replacements: Sequence[Replacement]) -> list[int]:
        """Begin a trial for each replacement, which ``ask`` returns later. The caller finishes the losers.

        Returns:
            The numbers of the new trials. They continue from a checkpoint of the parent if the caller copies
            it into their folder; otherwise they repeat its epochs, with the same result.
        """
        known = self.attributes.get("replacements", [])
        # Remembered before anything is done: the next driver repeats what this one did not get to.
        self._store.remember(replacements=[*known, *map(asdict, replacements)])
        numbers = self._begin_successors()
        for number in numbers:
            self._backlog.requeue(number)
        return numbers

    def requeue(self, number: int) -> None:
        """Let ``ask`` return a running trial again, since its process died."""
        self._backlog.requeue(number, stage_of(self._store.trials[number]))

    @property
    def share(self) -> Share:
        """The CPUs and GPUs that each trial of this launch holds, by which costs are counted."""
        return self._meter.share

    @share.setter
    def share(self, share: Share) -> None:
        self._meter.share = share

    def cost(self) -> Cost:
        """Cost of all trials so far."""
        return self._meter.spent

    def ask(self, stage: Stage = "search") -> Suggestion | None:
        """The next trial of a stage to run; None if all of them run or have ended.

        Trials that a dead driver left running come first, under their own numbers, then starts and retries,
        then those of the sampler. Finalists are chosen when the search has ended.
        """
        number = self._backlog.next_interrupted(stage)
        if number is not None:
            return self._suggestion(self._store.trials[number], resume=True)
        return self._ask_search() if stage == "search" else self._ask_finalist()

    def _ask_finalist(self) -> Suggestion | None:
        finalists, due = self.config.search.finalists, self.finalists_due()
        if finalists is None or not due:
            return None
        source = self.trial(due[0])
        self._num_finalists += 1
        trial = self._store.begin(
            {},
            {},
            point={**self.point(source), **finalists.set},
            version=self.space_versions[-1].number,
            set=dict(finalists.set),
            **{FINALIST_OF: source.number},
        )
        return self._suggestion(trial, resume=False)

    def _ask_search(self) -> Suggestion | None:
        number = len(self._store.trials)
        if number - self._num_finalists >= self._searches_asked:
            return None
        pending = self._backlog.next_pending()
        if PARENT in pending.attributes:
            version = self.space_versions[-1].number
            trial = self._store.begin({}, {}, point=pending.point, version=version, **pending.attributes)
            return self._suggestion(trial, resume=False)
        proposal = self._sampling.ask(number, pending.point)
        trial = self._store.begin(
            proposal.params,
            proposal.distributions,
            point=proposal.overrides,
            version=self.space_versions[-1].number,
            **pending.attributes,
            **({"sampler": proposal.notes} if proposal.notes else {}),
        )
        return self._suggestion(trial, resume=False)

    def _suggestion(self, trial: FrozenTrial, resume: bool) -> Suggestion:
        known = trial.user_attrs
        return Suggestion(
            trial.number,
            known["point"],
            resume,
            reported(trial),
            known.get("start"),
            known["version"],
            known.get(FINALIST_OF),
            known.get("course", ()),
        )

    def pause(self, number: int) -> None:
        """Set a trial aside at a rung. Until it ends, the sampler sees it as pruned."""
        self._backlog.adopt(number)
        self._meter.set(number, 0.0)
        self._sampling.pause(number)

    def resume(self, number: int) -> Suggestion:
        """Continue a paused trial from its checkpoint."""
        return self._suggestion(self._store.trials[number], resume=True)

    def ending_of_paused(self, number: int, reason: str) -> Ending:
        """The ending of a paused trial that will not continue, from what it has reported."""
        record, train = self.trial(number), self.config.base.train
        sign = 1.0 if train.direction == "minimize" else -1.0
        best = min(record.epochs, key=lambda epoch: (sign * record.epochs[epoch][train.metric], epoch))
        self._meter.set(number, record.cost.seconds)
        return Ending("pruned", record.epochs[best], reason, best, record.cost.seconds)

    def report(self, number: int, epoch: int, metrics: Metrics, value: float, seconds: float = 0.0) -> None:
        """Remember an epoch of a running trial. An epoch that is remembered already stays as it is.

        Args:
            number: of the trial.
            epoch: counted from 1.
            metrics: of this epoch.
            value: the first objective, by which trials are compared at this epoch; stored if it is finite.
            seconds: since the current process took the trial up.
        """
        self._meter.read(number, seconds)
        if f"{EPOCH}{epoch}" not in self._store.trials[number].user_attrs:
            remembered = stored_epoch(metrics, value, self._meter.bill(number))
            # Optuna's own tools draw curves for studies with one objective only.
            single = len(self.config.search.objectives) == 1
            curve = remembered["value"] if single else None
            self._store.note_epoch(number, f"{EPOCH}{epoch}", remembered, epoch, curve)

    def finish(self, number: int, ending: Ending) -> Outcome:
        """Remember how a trial ended, as ``endings`` judges it. A trial that has ended stays as it is.

        Returns:
            The outcome that the study remembers.
        """
        known = self._store.trials[number]
        if known.state.is_finished():
            remembered: Outcome = known.user_attrs[ENDING]["outcome"]
            return remembered
        self._meter.read(number, ending.seconds)
        ending = judged(ending, self.config, self.trial(number).cost + self._meter.unbilled(number))
        values = None
        if ending.outcome == "completed":
            values = [ending.metrics[objective.metric] for objective in self.config.search.objectives]
        if stage_of(known) == "search":
            self._sampling.tell(number, ending, values)
        self._end(number, ending, values)
        self._reconsider()
        return ending.outcome

    def _end(self, number: int, ending: Ending, values: list[float] | None = None) -> None:
        # The state last: a trial without it is adopted and finished again, with the same attribute.
        self._store.note(number, ENDING, stored_ending(ending, self._meter.bill(number)))
        self._store.end(number, STATES[ending.outcome], values)

    def _reconsider(self) -> None:
        """Ask for no more trials than have begun, if the stop rule says so.

        Trials that a user asked for as ``+N`` are run whatever the rule says.
        """
        trials, target = self._store.trials, self._target
        due = len(trials) >= self._stop_rule.next_look and not target.request.startswith("+")
        if not due or not self.outstanding("search"):
            return
        completed = sorted(self.completed_points(), key=lambda trial: trial.number)
        points = [replace(trial, overrides=self.point(trial)) for trial in completed]
        (objective, *_) = self.config.search.objectives
        reason = self._stop_rule.reason(points, self.config.space, objective.metric, objective.direction)
        if reason:
            unasked = self._searches_asked - (len(trials) - self._num_finalists)
            self._aim(replace(target, asked=target.asked - unasked, stopped=reason))

    def close(self) -> None:
        """Release the study. Trials that still run are adopted by the next driver."""
        self._storage.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
