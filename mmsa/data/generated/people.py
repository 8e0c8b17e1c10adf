"""Invented people, and interviews in which their words, voices and faces know of a severity of depression.

As in ``recordings``, each modality follows a hidden score of its own, the severity is their sum and noise,
and nothing else is related to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import SplitName
from mmsa.data.generated.recordings import CEILING

FEWEST_PEOPLE = 20
FIRST_ID = 800  # of no known set, whose people have errors that readers correct

_SHARES: Mapping[SplitName, float] = {"train": 0.6, "valid": 0.2, "test": 0.2}
LOW_WORDS = ("tired", "alone", "nothing", "worried", "awake", "crying", "worse", "empty")
"""What people say the more of, the worse they are."""
_HIGH = ("family", "running", "holiday", "friends", "laughing", "music", "cooking", "better")
_PLAIN = ("um", "i", "guess", "well", "then", "we", "the", "day", "like", "so")
_QUESTIONS = (
    "how are you doing today",
    "tell me about your week",
    "what do you do to relax",
    "where are you from",
)


@dataclass(frozen=True)
class Utterance:
    """A turn of an interview.

    Attributes:
        start: in seconds.
        end: in seconds.
        participant: whether the participant speaks, and not the interviewer.
        text: what is said.
    """

    start: float
    end: float
    participant: bool
    text: str


@dataclass(frozen=True)
class Person:
    """One invented person.

    Attributes:
        id: three digits.
        split: that the person is in.
        male: gender, in the two codes that the data sets have.
        answers: (8,) from 0 to 3, to the questions of the PHQ-8; the score is their sum.
        turns: of the interview.
        voice: the hidden score that audio follows.
        face: the hidden score that vision follows.
    """

    id: str
    split: SplitName
    male: bool
    answers: NDArray[np.int64]
    turns: tuple[Utterance, ...]
    voice: float
    face: float

    @property
    def score(self) -> int:
        """PHQ-8."""
        return int(self.answers.sum())

    @property
    def seconds(self) -> float:
        """Length of the interview."""
        return self.turns[-1].end


def invent_people(count: int, seed: int, turns: int = 4) -> list[Person]:
    """Invented people of train, valid and test.

    Args:
        count: number of people, at least ``FEWEST_PEOPLE``.
        seed: of everything that is drawn.
        turns: questions and answers of an interview.
    """
    random = np.random.default_rng(seed)
    sizes = {split: math.floor(share * count) for split, share in _SHARES.items()}
    sizes["train"] += count - sum(sizes.values())
    splits = [split for split, size in sizes.items() for _ in range(size)]
    people = []
    for number, split in enumerate(splits):
        words, voice, face = random.standard_normal(3)
        known = (words + voice + face) / math.sqrt(3)
        severity = CEILING * known + math.sqrt(1 - CEILING**2) * random.standard_normal()
        score = int(np.clip(round(7 + 5 * severity), 0, 24))
        people.append(
            Person(
                str(FIRST_ID + number),
                split,
                bool(random.random() < 0.5),
                _answers(score, random),
                _interview(float(words), turns, random),
                float(voice),
                float(face),
            )
        )
    return people


def _answers(score: int, random: np.random.Generator) -> NDArray[np.int64]:
    answers = np.zeros(8, np.int64)
    for _ in range(score):
        answers[random.choice(np.flatnonzero(answers < 3))] += 1
    return answers


def _interview(words: float, turns: int, random: np.random.Generator) -> tuple[Utterance, ...]:
    low = 1 / (1 + math.exp(-2 * words))
    now, found = 0.2, []
    for number in range(turns):
        question = _QUESTIONS[number % len(_QUESTIONS)]
        for participant in (False, True):
            end = now + float(random.uniform(1.0, 2.5))
            text = question
            if participant:
                feelings = [LOW_WORDS if random.random() < low else _HIGH for _ in range(6)]
                spoken = [str(random.choice(words)) for words in feelings] + [
                    str(w) for w in random.choice(_PLAIN, 4)
                ]
                text = " ".join(spoken[position] for position in random.permutation(len(spoken)))
            found.append(Utterance(round(now, 2), round(end, 2), participant, text))
            now = end + 0.3
    return tuple(found)


def track(
    person: Person, rate: float, dim: int, score: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """(T,) times and (T, ``dim``) frames, whose mean follows a hidden score while the participant speaks."""
    times_T = np.arange(0, person.seconds, 1 / rate)
    loading_D = np.random.default_rng([dim, 7]).standard_normal(dim) / math.sqrt(dim)
    speaks_T = np.zeros(len(times_T), np.bool_)
    for turn in person.turns:
        speaks_T |= turn.participant & (times_T >= turn.start) & (times_T < turn.end)
    noise_TD = np.random.default_rng([seed, int(person.id), dim]).standard_normal((len(times_T), dim))
    frames_TD = noise_TD + np.where(speaks_T, 3 * score, 0.0)[:, None] * loading_D
    return times_T, (10 + frames_TD).astype(np.float32)
