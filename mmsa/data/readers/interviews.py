"""What readers of clinical interviews share: people instead of clips, windows, speakers, and private ids.

A row is a person. Text is what was said; audio and vision are pooled (``mmsa.data.readers.windows``).
Warnings count people and never name one: logs are kept with a search, and a three-digit id is a person.
"""

from __future__ import annotations

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SPLITS, Features, ModalityName, SplitName, Strings
from mmsa.data.known_targets import CUT, DEPRESSED, SCORE
from mmsa.data.readers.base import FileConfig, pseudonym, strings
from mmsa.data.readers.columns import Column, Columns, ColumnsReader, InputName, Labels, ragged
from mmsa.data.readers.settings import InterviewConfig
from mmsa.data.readers.windows import Stream, even_spans, pooled_windows, standardised_stream, within
from mmsa.data.validation import first_few
from mmsa.errors import DataError, Problem

logger = logging.getLogger("mmsa.data")


@dataclass(frozen=True)
class Turn:
    """One utterance.

    Attributes:
        start: in seconds.
        end: in seconds.
        text: what was said.
        speaker: who said it; empty where the transcript does not tell.
    """

    start: float
    end: float
    text: str
    speaker: Literal["participant", "interviewer", ""]


@dataclass(frozen=True)
class People:
    """The people of one split, before anything but their ids is looked at.

    Attributes:
        ids: as the data set has them.
        labels: functions that read the value of each target, NaN where it is missing.
        problems: why the split cannot be opened.
    """

    ids: Sequence[str]
    labels: Mapping[str, Labels]
    problems: tuple[Problem, ...] = ()


class InterviewReader(ColumnsReader):
    """Base of the readers of sets of interviews.

    Attributes:
        TELLS_SPEAKERS: whether its transcripts say who speaks.
    """

    Config: ClassVar[type[FileConfig]] = InterviewConfig
    TELLS_SPEAKERS: ClassVar[bool]

    config: Any

    @abstractmethod
    def people(self) -> Mapping[SplitName, People]:
        """The people of each split.

        Raises:
            DataError: for files of labels that are damaged or lack a column.
        """

    @abstractmethod
    def folder(self, person: str) -> Path:
        """Where the files of a person are."""

    @abstractmethod
    def turns(self, person: str) -> list[Turn]:
        """The utterances of an interview; empty where there is no transcript.

        Raises:
            DataError: for a transcript that is damaged.
        """

    @abstractmethod
    def stream(self, person: str, modality: ModalityName) -> Stream | None:
        """The frames of a person; None where the file is missing.

        Raises:
            DataError: for a file that is damaged, or has other columns than the layout.
        """

    @abstractmethod
    def width(self, modality: ModalityName) -> int:
        """Number of columns of the frames of a modality."""

    def columns(self) -> Mapping[SplitName, Columns]:
        """The columns of each split."""
        if self.config.speech == "interviewer" and not self.TELLS_SPEAKERS:
            raise DataError(
                f"{self.path}: data.speech is 'interviewer', but transcripts of this layout do not say who "
                "speaks; write participant or all"
            )
        found = self._people
        return {split: self._columns_of(split, found[split]) for split in SPLITS if split in found}

    @cached_property
    def _people(self) -> Mapping[SplitName, People]:
        return self.people()

    def _columns_of(self, split: SplitName, people: People) -> Columns:
        problems = list(people.problems)
        lost = [person for person in people.ids if not self.folder(person).is_dir()]
        if lost:
            rule = f"{len(lost)} of {len(people.ids)} people of the split have no such folder"
            advice = "Fetch them, or remove their rows from a copy of the file of the split."
            names = first_few(self.folder(person).name for person in lost)
            problems.append(Problem(f"{split} folders", names, rule, advice))
        source = f"{self.path.name} {split}"
        inputs: dict[InputName, Column] = {"strings": Column(None, partial(self._texts, people.ids, source))}
        for name in ("audio", "vision"):
            width = self.width(name) if self.config.window == "none" else 2 * self.width(name) + 1
            inputs[name] = Column(width, partial(self._frames, people.ids, name, width, source))
        ids = np.array([self._shown(person) for person in people.ids], dtype=np.str_)
        return Columns(ids, ids, people.labels, inputs, tuple(problems))

    def _shown(self, person: str) -> str:
        return pseudonym(person, self._key) if self.config.pseudonyms else person

    @cached_property
    def _key(self) -> bytes:
        """What only those know who have the recordings: a plain digest of three digits is reversed at once.

        Lists of ids and scores of some sets are public; the files of a person are not.
        """
        split = next((split for split in SPLITS if split in self._people), None)
        for person in sorted(self._people[split].ids) if split else ():
            for file in sorted(self.folder(person).rglob("*")):
                if file.is_file() and file.suffix in (".csv", ".txt", ".npy"):
                    return hashlib.sha256(file.read_bytes()).digest()
        return b""

    def _wanted(self, person: str) -> list[Turn]:
        return self._chosen(self.turns(person))

    def _chosen(self, turns: list[Turn]) -> list[Turn]:
        if self.config.speech == "all" or not self.TELLS_SPEAKERS:
            return turns
        return [turn for turn in turns if turn.speaker == self.config.speech]

    def interviewer_text(self, splits: Sequence[SplitName]) -> dict[SplitName, Strings]:
        """What the interviewer said to each person, which follows from what was answered; for a check."""
        if not self.TELLS_SPEAKERS:
            return {}
        return {
            split: Strings(
                strings(
                    [
                        " ".join(turn.text for turn in self.turns(person) if turn.speaker == "interviewer")
                        for person in self._people[split].ids
                    ],
                    f"{self.path.name} {split} questions",
                )
            )
            for split in splits
            if split in self._people
        }

    def _texts(self, people: Sequence[str], source: str) -> Strings:
        texts, unasked = [], 0
        for person in people:
            turns = self.turns(person)
            texts.append(" ".join(turn.text for turn in self._chosen(turns) if turn.text))
            unasked += bool(turns) and all(turn.speaker == "participant" for turn in turns)
        if unasked:
            logger.warning("%s: %d transcripts have no line of the interviewer", source, unasked)
        return Strings(strings(texts, f"{source} transcripts"))

    def _frames(self, people: Sequence[str], modality: ModalityName, width: int, source: str) -> Features:
        rows, silent, not_finite, frames, faceless = [], 0, 0, 0, 0
        for person in people:
            stream = self.stream(person, modality)
            if stream is None or not len(stream.times):
                rows.append(np.empty((0, width), np.float32))
                continue
            not_finite += int((~np.isfinite(stream.values[stream.valid])).sum())
            frames += len(stream.times)
            faceless += int((~stream.valid).sum()) if modality == "vision" else 0
            if self.config.normalise == "participant":
                stream = standardised_stream(stream)
            spoken = np.array([(turn.start, turn.end) for turn in self._wanted(person)]).reshape(-1, 2)
            silent += not len(spoken)
            rows.append(self._cut(stream, spoken)[: self.config.most_windows])
        self._tell(silent, not_finite, f"{source} {modality}")
        if faceless:
            left_out = "" if self.config.window == "none" else "; means and deviations leave them out"
            logger.warning(
                "%s vision: no face was found in %d of %d frames (%.2g%%)%s",
                *(source, faceless, frames, 100 * faceless / frames, left_out),
            )
        return ragged(rows, width, f"{source} {modality}")

    def _cut(self, stream: Stream, spoken_W2: NDArray[np.float64]) -> NDArray[np.float32]:
        """The frames of one person, as the configuration wants them."""
        end = float(stream.times[-1])
        if not len(spoken_W2):  # nobody knows who speaks when
            spoken_W2 = np.array([[0.0, np.nextafter(end, np.inf)]])
        if self.config.window == "turn":
            return pooled_windows(stream, spoken_W2)
        inside = within(stream, spoken_W2) if self.config.speech != "all" else stream
        if self.config.window == "none":
            return inside.values
        spans_W2 = even_spans(self.config.seconds, end)
        first_W, last_W = (np.searchsorted(inside.times, edge) for edge in spans_W2.T)
        return pooled_windows(
            inside, spans_W2[last_W > first_W]
        )  # windows in which only the other one speaks

    def _tell(self, silent: int, not_finite: int, source: str) -> None:
        if silent:
            logger.warning(
                "%s: %d people have no utterance of whom data.speech names; their recordings are one turn",
                *(source, silent),
            )
        if not_finite:
            logger.warning(
                "%s: %d values are -inf or NaN; they are left out of means and deviations",
                *(source, not_finite),
            )


def score_labels(
    values: Callable[[], NDArray[np.float32]], classes: Callable[[], NDArray[np.float32]] | None, source: str
) -> Mapping[str, Labels]:
    """The score, and whether it counts as depressed.

    Args:
        values: reads the scores.
        classes: reads the column of 0 and 1; None where ``data.depressed`` or the file has none.
        source: for messages.
    """

    def depressed() -> NDArray[np.float32]:
        scores_N = values()
        by_score_N = np.where(np.isnan(scores_N), np.nan, scores_N >= CUT).astype(np.float32)
        if classes is None:
            return by_score_N
        by_column_N = classes()
        other = int((np.isfinite(by_score_N) & np.isfinite(by_column_N) & (by_score_N != by_column_N)).sum())
        if other:
            logger.warning(
                "%s: %d people are on one side of a score of %g and on the other by their binary label; "
                "data.depressed chooses between column and threshold",
                *(source, other, CUT),
            )
        return by_column_N

    return {SCORE.name: values, DEPRESSED.name: depressed}
