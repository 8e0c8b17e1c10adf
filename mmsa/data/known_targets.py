"""What the known data sets have for targets, whichever reader or layout they come by."""

from __future__ import annotations

from mmsa.data.target_spec import TargetSpec

MOSEI_EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
SENTIMENT = TargetSpec("sentiment", low=-3.0, high=3.0, suite="mosi")
EMOTIONS = TargetSpec("emotions", "multilabel", classes=MOSEI_EMOTIONS)
HUMOR = TargetSpec("humor", "binary", classes=("serious", "humorous"))
SARCASM = TargetSpec("sarcasm", "binary", classes=("sincere", "sarcastic"))
_SIX = ("anger", "disgust", "fear", "happy", "neutral", "sad")
ACTED = TargetSpec("emotion", "multiclass", classes=_SIX)
VOTES = tuple(TargetSpec(name, "multiclass", classes=_SIX) for name in ("heard", "seen", "perceived"))
"""What most people took a clip of CREMA-D for by its sound, its picture and both."""

CUT = 10.0
"""PHQ-8 scores from here on count as depressed."""
SCORE = TargetSpec("score", low=0.0, high=24.0, threshold=CUT, suite="phq8")
DEPRESSED = TargetSpec("depressed", "binary", classes=("not depressed", "depressed"))
PHQ9 = TargetSpec("score", low=0.0, high=27.0, threshold=CUT, suite="phq8")
MPDD = {
    "bin_category": DEPRESSED,
    "tri_category": TargetSpec("three", "multiclass", classes=("normal", "mild", "severe")),
    "pen_category": TargetSpec(
        "five", "multiclass", classes=("normal", "mild", "moderate", "moderately severe", "severe")
    ),
}
"""Targets of MPDD by the names of their categories."""
GENDER = TargetSpec("gender", "binary", classes=("female", "male"))
ABOUT_PEOPLE = (GENDER.name,)
"""Columns that say who somebody is; results are told by them unless others are asked for."""
SDS_CUT = 53.0
"""Scores of the SDS from here on count as depressed in EATD-Corpus."""
SDS = TargetSpec("score", low=25.0, high=100.0, threshold=SDS_CUT, suite="phq8")
POLARITY = TargetSpec("polarity", "binary")
IEMOCAP = tuple(
    TargetSpec(name, "binary", classes=(f"not {name}", name)) for name in ("neutral", "happy", "sad", "angry")
)
"""The four heads of MulT's files, in their order."""

EMOTION = TargetSpec(
    "emotion",
    "multiclass",
    classes=("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
)
POLARITIES = TargetSpec("sentiment", "multiclass", classes=("negative", "neutral", "positive"))
EXPRESSED = (
    "Complain",
    "Praise",
    "Apologise",
    "Thank",
    "Criticize",
    "Care",
    "Agree",
    "Taunt",
    "Flaunt",
    "Joke",
    "Oppose",
)
ACHIEVED = (
    "Comfort",
    "Inform",
    "Advise",
    "Arrange",
    "Introduce",
    "Leave",
    "Prevent",
    "Greet",
    "Ask for help",
)
INTENT = TargetSpec("intent", "multiclass", classes=EXPRESSED + ACHIEVED)
GOAL = TargetSpec("goal", "binary", classes=("expresses an emotion or attitude", "achieves a goal"))
