"""Settings that only some layouts have: features to choose from, windows of interviews, names of people."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmsa.data.corpus import ModalityName
from mmsa.data.readers.base import FileConfig


class InterviewConfig(FileConfig):
    """Settings of data sets whose rows are people."""

    speech: Literal["participant", "interviewer", "all"] = "participant"
    """Whose speech is used, where a transcript says who speaks. What an interviewer asks follows from what
    was answered, and can give a diagnosis away: ``interviewer`` is for finding out by how much."""
    window: Literal["turn", "seconds", "none"] = "turn"
    """What is pooled to one frame of means, deviations and the share of valid frames: an utterance of the
    transcript, or so many ``seconds``; ``none`` keeps all frames, up to 100 a second."""
    seconds: Annotated[float, Field(ge=0.1, le=3600.0)] = 10.0
    """Length of a window of seconds."""
    most_windows: Annotated[int, Field(ge=1)] | None = None
    """Only the first so many windows are used; null for all."""
    normalise: Literal["none", "participant"] = "none"
    """Whether features are brought to mean 0 and deviation 1 for each person alone. That takes away what
    distinguishes microphones, and the level of a voice, which may itself be a sign: compare both."""
    depressed: Literal["column", "threshold"] = "column"
    """Where the binary target is from: its column in the file, or a score of 10 or more."""
    pseudonyms: bool = True
    """Whether people are called by digests and not by the ids of the data set, wherever ids are shown."""


class DaicConfig(InterviewConfig):
    """Which features of DAIC-WOZ are used."""

    audio_features: Literal["covarep", "formant"] = "covarep"
    """COVAREP's 74 columns, or formants."""
    vision_features: Literal["aus", "gaze", "pose"] = "aus"
    """Action units, directions of gaze, or the pose of the head."""


class EDaicConfig(InterviewConfig):
    """Which features of E-DAIC are used."""

    audio_features: Literal["egemaps", "mfcc", "boaw_egemaps", "boaw_mfcc"] = "egemaps"
    """Functionals of the voice at 100 Hz, or bags of audio words at 10 Hz."""
    vision_features: Literal["pose_gaze_aus", "bovw", "resnet", "vgg"] = "pose_gaze_aus"
    """Pose, gaze and action units at 30 Hz, bags of visual words at 10 Hz, or outputs of a network, which
    have no times and need ``window: none``."""


class VlogConfig(FileConfig):
    """Settings of sets of video logs, which have a frame a second and no text."""

    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = ("audio", "vision")
    """Which modalities are used; there is no text."""
    seconds: Annotated[float, Field(ge=1.0, le=3600.0)] | None = None
    """Length of the windows that frames are pooled over, to means, deviations and the share of valid frames;
    null keeps a frame for each second."""
    normalise: Literal["none", "participant"] = "none"
    """Whether features are brought to mean 0 and deviation 1 for each person alone."""


class EatdConfig(FileConfig):
    """Settings of EATD-Corpus, of which text is read."""

    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = ("text",)
    """Which modalities are used; the recordings of the corpus come without features."""
    pseudonyms: bool = True
    """Whether people are called by digests and not by the names of their folders, wherever ids are shown."""


class FeaturesConfig(FileConfig):
    """Which features are used where a folder has several (layouts ``gcnet`` and ``csd``)."""

    text_features: str | None = None
    """Features of text, where ``data.text`` is ``features``."""
    audio_features: str | None = None
    """Features of audio: a folder of GCNet's without ``-UTT``, or a part of the root of a csd file such as
    ``COVAREP``."""
    vision_features: str | None = None
    """Features of vision, likewise, such as ``OpenFace`` or ``Facet``."""


class GcnetConfig(FeaturesConfig):
    """Settings of files of GCNet's, and of the folders of features beside them."""

    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = ("text",)
    """Which modalities are used; the pickle itself has sentences only."""


class TextConfig(FileConfig):
    """Settings of sets of which text is read alone."""

    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = ("text",)
    """Which modalities are used; there is text only."""


class ContextConfig(FileConfig):
    """Settings of sets in which something was said before."""

    context: bool = False
    """Whether what was said before is part of the text."""


class CremaConfig(FileConfig):
    """Settings of CREMA-D, whose twelve sentences say nothing."""

    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = ("audio", "vision")
    """Which modalities are used; text is the same in all emotions and is not read."""
    pseudonyms: bool = True
    """Whether clips are called by digests and not by their names, which hold the emotion that was acted."""


class MustardConfig(ContextConfig):
    """Settings of MUStARD."""

    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = ("text", "audio")
    """Which modalities are used; vision needs h5py (``pip install 'mmsa[hdf5]'``)."""
    split: str | None = None
    """Number of the published fold, from 0, whose test rows are test; null has all rows in train."""
    by_speaker: bool = True
    """Whether rows of a speaker are a group. The published folds share speakers: false is for them."""


class CmdcConfig(FileConfig):
    """Settings of CMDC."""

    pseudonyms: bool = True
    """Whether people are called by digests and not by the names of their folders, wherever ids are shown."""


class MpddConfig(FileConfig):
    """Settings of MPDD, of which one track is opened."""

    modalities: Annotated[tuple[ModalityName, ...], Field(strict=False, min_length=1)] = ("audio", "vision")
    """Which modalities are used; there is no text."""
    pseudonyms: bool = True
    """Whether people are called by digests and not by their numbers, wherever ids are shown."""
    clip: str = "1s"
    """Name of the folder of features by the length of their windows, such as ``1s`` or ``5s``."""
    audio_features: str = "mfccs"
    """Name of a folder in ``Audio``."""
    vision_features: str = "openface"
    """Name of a folder in ``Visual``."""
