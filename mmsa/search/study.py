"""The durable study: what was asked, what runs, how every trial ended. Optuna's storage is the truth.

One driver at a time writes: it holds the study's lease. Every write can be repeated: a driver that dies
between two of them leaves a trial that the next driver adopts under the same number and finishes again.
"""

from __future__ import annotations

import math
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mmsa.config import dump_yaml
from mmsa.errors import StudyError
from mmsa.information.panel import METRIC as INFORMATION
from mmsa.provenance import git_state, versions
from mmsa.search.checks import COST_SECONDS
from mmsa.search.costs import Cost, Share
from mmsa.search.ledger import Ledger
from mmsa.search.prior_studies import read_priors
from mmsa.search.proposals import Past, Proposals, with_excesses
from mmsa.search.records import Ending, Metrics, Suggestion, TrialRecord
from mmsa.search.scalars import Scalar
from mmsa.search.search_config import DEFAULTS
from mmsa.search.storage import DriverStorage
from mmsa.search.study_config import StudyConfig
from mmsa.search.versions import first_version, next_version, point_in
from mmsa.search.view import EPOCH, FINALIST_OF, StudyView, read_study, reported, stage_of
from mmsa.tracking import Outcome, Stage

__all__ = ["Study", "StudyView", "read_study"]

_STATES: Mapping[Outcome, TrialState] = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.FAIL,
    "out_of_memory": TrialState.FAIL,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True)
class _Due:
    """A trial that is to be tried before the sampler is asked: a start, or another try of one that failed."""

    point: Mapping[str, Scalar]
    attributes: Mapping[str, Any]


class Study(StudyView):
    """A study as the one driver that may write to it sees it; a context manager.

    ``share`` is what each trial of this launch holds, by which costs are counted.
    """

    def __init__(self, storage: DriverStorage, ledger: Ledger, config: StudyConfig, folder: Path):
        super().__init__(ledger, config)
        self.folder, self.share = folder, Share()
        self._storage, self._ledger = storage, ledger
        self._timed: dict[int, float] = {}
        self._unbilled: dict[int, Cost] = {}
        self._spent = super().cost()
        self._stop_rule = config.stop
        self._num_finalists = sum(stage_of(trial) == "finalist" for trial in ledger.trials)

    @classmethod
    def open(cls, config: StudyConfig, runs: Path, storage: str | None = None) -> Study:
        """Create the study, or continue it.

        Args:
            config: what to search; of a study that exists, the space may have been edited (see ``versions``).
            runs: the folder of all studies; this one's is below it, under its name.
            storage: an SQLAlchemy URL; a journal file in the study's folder without one.

        Raises:
            StudyError: when another driver has it, or when it cannot continue with this configuration.
        """
        starts = config.starts()
        folder = runs / config.study
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        opened = DriverStorage(folder, config.study, storage)
        try:
            directions = [objective.direction for objective in config.search.objectives]
            study = cls(opened, Ledger(opened.trials, config.study, directions), config, folder)
            study._settle_priors(runs, storage)
            study._settle()
            study._plan(starts)
        except BaseException:
            opened.close()
            raise
        return study

    def _settle_priors(self, runs: Path, storage: str | None) -> None:
        """Earlier studies are read once: what they know now is remembered, whatever becomes of them."""
        names = self.config.search.priors
        if tuple(self.priors) != names:
            self._ledger.remember(priors=read_priors(names, runs, storage, self.config.space))

    def _settle(self) -> None:
        """Bring what the study remembers up to date with its configuration; may be repeated at any point."""
        remembered = self.attributes
        if "space" not in remembered and self._ledger.trials:
            raise StudyError(f"study {self.name!r} of this storage is not mmsa's; write another name")
        identity = _identity(self.folder, remembered.get("identity"))
        if "space" not in remembered:
            commit, dirty = git_state() or (None, None)
            self._ledger.remember(identity=identity, git_commit=commit, git_dirty=dirty, versions=versions())
            # Kept when the resources change: the last bits of a sum on a CPU depend on the threads.
            self._ledger.remember(threads=self.config.threads)
        self._settle_version()
        trials = self.config.search.trials
        if remembered.get("trials_in_space") != trials:
            self._ledger.remember(asked=trials, trials_in_space=trials, request="", stopped="")
        space = dump_yaml(self.config.model_dump())
        if remembered.get("space") != space:
            self._ledger.remember(space=space)
        (self.folder / "space.yaml").write_text(space, encoding="utf-8")

    def _settle_version(self) -> None:
        known = self.space_versions
        searched = (t for t in self._ledger.trials if stage_of(t) == "search")
        points = ((t.number, known[t.user_attrs["version"] - 1], t.user_attrs["point"]) for t in searched)
        latest = next_version(known[-1], self.config, points) if known else first_version(self.config)
        if latest is not None:
            self._ledger.remember(**{latest.attribute: latest.stored()})
            self.space_versions = [*known, latest]

    def _plan(self, starts: list[dict[str, Scalar]]) -> None:
        """What is to be run first, and what the sampler is told."""
        running = [trial for trial in self.trials() if trial.outcome == "running"]
        for trial in running:
            if trial.superseded:
                number = self.space_versions[-1].number
                reason = f"was running when the space was edited, and does not lie in version {number} of it"
                self._end(trial.number, replace(Ending("pruned"), reason=reason))
        self._orphans = deque(trial.number for trial in running if not trial.superseded)
        self._due = deque([*self._starts_due(starts), *self._retries_due()])
        self._proposals = Proposals(
            self.config.space,
            [objective.direction for objective in self.config.search.objectives],
            partial(
                self.config.build_sampler, prior=[point for best in self.priors.values() for point in best]
            ),
            self.config.sampler.memory,
            self.attributes.get("sampler", {}),
            self._past(),
        )

    def _starts_due(self, starts: list[dict[str, Scalar]]) -> Iterator[_Due]:
        tried = [self._point(trial) for trial in self.trials() if trial.start and not trial.superseded]
        for position, point in enumerate(starts):
            if point not in tried:
                yield _Due(point, {"start": DEFAULTS if position == 0 else f"start {position}"})

    def _retries_due(self) -> Iterator[_Due]:
        begun = {trial.retry_of for trial in self.trials()}
        for number in self.attributes.get("retried", ()):
            trial = self.trial(number)
            if number not in begun and not trial.superseded and trial.stage == "search":
                yield _Due(self._point(trial), {"retry_of": number})

    def _point(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """The trial's point of the space as it is now, in which it lies."""
        latest = self.space_versions[-1]
        if trial.version == latest.number:
            return trial.overrides
        point = point_in(latest.config, self.space_versions[trial.version - 1].config, trial.overrides)
        assert point is not None
        return point

    def _past(self) -> Iterator[Past]:
        for trial in self._ledger.trials:
            record = self._record(trial)
            if record.stage == "search" and not record.superseded:
                params = self.config.space.encode(self._point(record))
                shown = record.reported if self._single else {}
                notes = with_excesses(
                    trial.user_attrs.get("sampler", {}), self.config.excesses(record.metrics)
                )
                yield Past(trial.number, params, trial.state, trial.values, shown, notes)

    @property
    def _single(self) -> bool:
        """With several objectives Optuna has no use for values by epoch: one makes TPE raise."""
        return len(self.config.search.objectives) == 1

    def bind_corpus(self, digest: str) -> None:
        """Remember the data the study is about.

        Raises:
            StudyError: when the study is about other data.
        """
        known = self.attributes.get("corpus_digest")
        if known is None:
            self._ledger.remember(corpus_digest=digest)
        elif known != digest:
            raise StudyError(
                f"the data changed since study {self.name!r} was begun "
                f"(digest {known[:12]}, now {digest[:12]}). "
                "Bring the earlier data back, or write another name after `study:`."
            )

    def extend(self, request: str) -> None:
        """Ask for ``"N"`` trials in all, or for ``"+N"`` more; retries come on top.

        The same ``"+N"`` again, while trials of the first time are outstanding, is the same request: a
        command that was killed can be repeated.

        Raises:
            StudyError: for anything else.
        """
        number = request.removeprefix("+")
        if not (number.isascii() and number.isdigit() and int(number) > 0):
            raise StudyError(f"--trials {request}: must be a number of trials, or +N for N more")
        if not request.startswith("+"):
            self._ledger.remember(asked=int(number), request="", stopped="")
        elif not (self.remaining and self.attributes["request"] == request):
            self._ledger.remember(asked=self.attributes["asked"] + int(number), request=request, stopped="")

    def retry_failed(self) -> int:
        """Ask that each trial that diverged, ran out of memory or failed is tried again, as one trial more.

        A trial is tried again once; when that trial fails too, another request tries it again.

        Returns:
            How many trials were added.
        """
        known = self.attributes.get("retried", [])
        failed = [
            trial.number
            for trial in self.trials()
            if trial.failed and not trial.superseded and trial.number not in known
        ]
        if failed:
            self._ledger.remember(retried=[*known, *failed])
            searched = (trial for trial in map(self.trial, failed) if trial.stage == "search")
            self._due.extend(_Due(self._point(trial), {"retry_of": trial.number}) for trial in searched)
        return len(failed)

    def cost(self) -> Cost:
        """What all trials took so far."""
        return self._spent

    def ask(self, stage: Stage = "search") -> Suggestion | None:
        """The next trial of a stage to run, or None when all of them have ended or run.

        First those that a dead driver left running, under their own numbers; then starts and retries; then
        the sampler's. Finalists are chosen when the search has ended.
        """
        for number in self._orphans:
            trial = self._ledger.trials[number]
            if stage_of(trial) == stage:
                self._orphans.remove(number)
                return self._suggestion(trial, resume=True)
        return self._ask_search() if stage == "search" else self._ask_finalist()

    def _ask_finalist(self) -> Suggestion | None:
        finalists, due = self.config.search.finalists, self.finalists_due()
        if finalists is None or not due:
            return None
        source = self.trial(due[0])
        self._num_finalists += 1
        trial = self._ledger.begin(
            {},
            {},
            point={**self._point(source), **finalists.set},
            version=self.space_versions[-1].number,
            set=dict(finalists.set),
            **{FINALIST_OF: source.number},
        )
        return self._suggestion(trial, resume=False)

    def _ask_search(self) -> Suggestion | None:
        number = len(self._ledger.trials)
        if number - self._num_finalists >= self._searches_asked:
            return None
        due = self._due.popleft() if self._due else _Due({}, {})
        proposal = self._proposals.ask(number, due.point if due.attributes else None)
        if self._proposals.notes != self.attributes.get("sampler", {}):
            self._ledger.remember(sampler=self._proposals.notes)
        trial = self._ledger.begin(
            proposal.params,
            proposal.distributions,
            point=proposal.overrides,
            version=self.space_versions[-1].number,
            **due.attributes,
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
        )

    def pause(self, number: int) -> None:
        """Set a trial aside at a rung. The sampler takes it for pruned until it has ended."""
        if number in self._orphans:
            self._orphans.remove(number)
        self._timed.pop(number, None)
        self._proposals.pause(number, self._shown(number))

    def resume(self, number: int) -> Suggestion:
        """Go on with a paused trial from its checkpoint."""
        return self._suggestion(self._ledger.trials[number], resume=True)

    def ending_of_paused(self, number: int, reason: str) -> Ending:
        """The ending of a paused trial that will not go on, from what it reported."""
        record, train = self.trial(number), self.config.base.train
        sign = 1.0 if train.direction == "minimize" else -1.0
        best = min(record.epochs, key=lambda epoch: (sign * record.epochs[epoch][train.metric], epoch))
        self._timed[number] = record.cost.seconds  # is billed already
        return Ending("pruned", record.epochs[best], reason, best, record.cost.seconds)

    def report(self, number: int, epoch: int, metrics: Metrics, value: float, seconds: float = 0.0) -> None:
        """Remember an epoch of a running trial; an epoch that is remembered already stays as it is.

        Args:
            number: of the trial.
            epoch: counted from 1.
            metrics: of this epoch.
            value: the first objective, by which trials are compared at this epoch; stored if it is finite.
            seconds: that the trial took since a process took it up.
        """
        self._bill(number, seconds)
        if f"{EPOCH}{epoch}" not in self._ledger.trials[number].user_attrs:
            compared = value if math.isfinite(value) else None
            cost = self._unbilled.pop(number, Cost()).stored()
            remembered = {"metrics": _finite(metrics), "value": compared, "cost": cost}
            self._ledger.note(number, f"{EPOCH}{epoch}", remembered)

    def _bill(self, number: int, seconds: float) -> None:
        """Count what a trial took since it was billed last; its clock starts anew with each process."""
        before = self._timed.get(number, 0.0)
        cost = self.share.cost(seconds - before if seconds >= before else seconds)
        self._timed[number] = seconds
        self._unbilled[number] = self._unbilled.get(number, Cost()) + cost
        self._spent += cost

    def finish(self, number: int, ending: Ending) -> Outcome:
        """Remember how a trial ended; a trial that has ended stays as it is.

        A trial without a finite value of every objective is not completed, whatever it says: it is remembered
        as diverged (not finite) or failed (missing).

        Returns:
            The outcome that the study remembers.
        """
        known = self._ledger.trials[number]
        if known.state.is_finished():
            remembered: Outcome = known.user_attrs["ending"]["outcome"]
            return remembered
        metrics = [objective.metric for objective in self.config.search.objectives]
        self._bill(number, ending.seconds)
        ending = self._with_broken_bounds(_checked(self._with_cost(number, ending), self._needed))
        values = [ending.metrics[metric] for metric in metrics] if ending.outcome == "completed" else None
        if stage_of(known) == "search":
            excesses = self.config.excesses(_finite(ending.metrics))
            self._tell_sampler(number, _STATES[ending.outcome], values, excesses)
        self._end(number, ending, values)
        self._reconsider()
        return ending.outcome

    @property
    def _needed(self) -> list[str]:
        """The metrics without which a trial has no result."""
        search = self.config.search
        return [*(o.metric for o in search.objectives), *(b.metric for b in self.config.metric_bounds)]

    def _with_broken_bounds(self, ending: Ending) -> Ending:
        excesses = self.config.excesses(_finite(ending.metrics)).items()
        broken = [f"{text} by {excess:.4g}" for text, excess in excesses if excess > 0]
        if not broken or ending.outcome != "completed":
            return ending
        return replace(ending, reason=f"breaks {', '.join(broken)}")

    def _with_cost(self, number: int, ending: Ending) -> Ending:
        """With what the trial took in all launches as a metric."""
        cost = self.trial(number).cost + self._unbilled.get(number, Cost())
        return replace(ending, metrics={**ending.metrics, COST_SECONDS: cost.seconds})

    def _tell_sampler(
        self, number: int, state: TrialState, values: list[float] | None, excesses: Mapping[str, float]
    ) -> None:
        known = self._ledger.trials[number]
        notes = self._proposals.tell(number, state, values, self._shown(number), excesses)
        if notes != known.user_attrs.get("sampler", {}):
            self._ledger.note(number, "sampler", notes)

    def _shown(self, number: int) -> dict[int, float]:
        """What the sampler is shown of a trial's values by epoch."""
        return reported(self._ledger.trials[number]) if self._single else {}

    def _end(self, number: int, ending: Ending, values: list[float] | None = None) -> None:
        cost = self._unbilled.pop(number, Cost()).stored()
        stored = {**asdict(ending), "metrics": _finite(ending.metrics), "cost": cost}
        self._ledger.note(number, "ending", stored)
        self._ledger.end(number, _STATES[ending.outcome], values)

    def _reconsider(self) -> None:
        """End the search where its stop rule says so: no trial is asked for beyond those that have begun.

        What was asked for as ``+N`` is done whatever the rule says.
        """
        trials, request = self._ledger.trials, self.attributes["request"]
        if (
            len(trials) < self._stop_rule.next_look
            or request.startswith("+")
            or not self.outstanding("search")
        ):
            return
        completed = sorted(self.completed("search"), key=lambda trial: trial.number)
        points = [replace(trial, overrides=self._point(trial)) for trial in completed]
        (objective, *_) = self.config.search.objectives
        reason = self._stop_rule.reason(points, self.config.space, objective.metric, objective.direction)
        if reason:
            unasked = self._searches_asked - (len(trials) - self._num_finalists)
            self._ledger.remember(asked=self.attributes["asked"] - unasked, stopped=reason)

    def close(self) -> None:
        """Let another driver have the study. Trials that still run are adopted by it."""
        self._storage.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _identity(folder: Path, remembered: str | None) -> str:
    """What ties the checkpoints in the folder to the study in the storage; made when the study is."""
    path = folder / "identity"
    if remembered is None and not any((folder / "trials").iterdir()):
        path.write_text(uuid.uuid4().hex, encoding="utf-8")
        return path.read_text(encoding="utf-8")
    if remembered is None or not path.exists() or path.read_text(encoding="utf-8") != remembered:
        raise StudyError(
            f"{folder} does not belong to the study {folder.name!r} in this storage. "
            "Give the --runs or --storage of the study to continue, or write another name after `study:`."
        )
    return remembered


def _checked(ending: Ending, metrics: list[str]) -> Ending:
    if ending.outcome == "completed":
        for metric in metrics:
            if metric not in ending.metrics:
                return replace(ending, outcome="failed", reason=_why_missing(ending, metric))
            if not math.isfinite(ending.metrics[metric]):
                return replace(ending, outcome="diverged", reason=f"{metric} is {ending.metrics[metric]}")
    return ending


def _why_missing(ending: Ending, metric: str) -> str:
    measured = ending.information.get(metric.removeprefix(INFORMATION))
    if measured is not None:
        return f"{metric} has no value: {measured.status}"
    return f"{metric} was not measured; there are {', '.join(sorted(ending.metrics))}"


def _finite(metrics: Metrics) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
