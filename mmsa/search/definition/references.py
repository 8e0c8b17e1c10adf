"""Which reference points a study has: what is simpler than its trials, and what each of them runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsa.config import with_overrides
from mmsa.data.corpus import Corpus, Features, ModalityName
from mmsa.errors import ConfigError
from mmsa.experiment import RunConfig
from mmsa.interface import References
from mmsa.search.corpora import of_modalities
from mmsa.search.definition.idle import Drafts

RIDGE, ALONE, WITHOUT_TERMS = "ridge/", "alone/", "without_terms"
ALL = "all"
_UNMEASURED: Mapping[str, Any] = {"information.quantities": [], "information.epochs": []}
"""Settings that do not change a training: what is measured beside it is not compared."""


@dataclass(frozen=True)
class ReferencePlan:
    """What the reference points of a study are made of.

    Attributes:
        ridges: modalities by name of the reference point.
        runs: configurations by name.
        left_out: reasons by the name of a reference point that these data or this model cannot have.
    """

    ridges: Mapping[str, tuple[ModalityName, ...]] = field(default_factory=dict)
    runs: Mapping[str, RunConfig] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """A line for each reference point that is left out."""
        for name, reason in self.left_out.items():
            yield f"reference {name} is left out: {reason}"


def planned_references(wanted: References, base: RunConfig, encoded: Corpus) -> ReferencePlan:
    """The reference points of a study, without the constant, which needs no plan.

    Args:
        wanted: the kinds of them.
        base: of the study.
        encoded: the corpus with its text encoded for ``base``.
    """
    if wanted in ("none", "constant"):
        return ReferencePlan()
    ridges, left_out = _ridges(encoded)
    runs, unfit = _runs(base, encoded) if wanted == ALL else ({}, {})
    return ReferencePlan(ridges, runs, left_out | unfit)


def _ridges(encoded: Corpus) -> tuple[dict[str, tuple[ModalityName, ...]], dict[str, str]]:
    present = encoded["train"].modalities()
    pooled = tuple(name for name, modality in present.items() if isinstance(modality, Features))
    ridges: dict[str, tuple[ModalityName, ...]] = {f"{RIDGE}{name}": (name,) for name in pooled}
    if len(pooled) > 1:
        ridges[f"{RIDGE}{ALL}"] = pooled
    reason = "it is text that the model encodes anew in each step; there are no features to pool"
    return ridges, {f"{RIDGE}{name}": reason for name in present if name not in pooled}


def _runs(base: RunConfig, encoded: Corpus) -> tuple[dict[str, RunConfig], dict[str, str]]:
    """The base with one modality each, and without terms.

    A term that relates modalities has nothing to relate in one of them, and is refused there: then the
    modality is trained without terms.
    """
    silent: dict[str, Any] = {f"objective.terms.{name}.weight": 0.0 for name in base.objective.built()}
    runs: dict[str, RunConfig] = {}
    left_out: dict[str, str] = {}
    modalities = tuple(encoded["train"].modalities())
    for modality in modalities if len(modalities) > 1 else ():
        name, alone = f"{ALONE}{modality}", {"data.modalities": [modality]}
        for changes in (alone, alone | silent):
            run = _fitting(base, changes, encoded, (modality,))
            if isinstance(run, RunConfig):
                runs[name] = run
                break
        else:
            left_out[name] = str(run)
    if silent:
        run = _fitting(base, silent, encoded, modalities)
        if isinstance(run, RunConfig):
            runs[WITHOUT_TERMS] = run
        else:
            left_out[WITHOUT_TERMS] = run
    return runs, left_out


def _fitting(
    base: RunConfig, changes: Mapping[str, Any], encoded: Corpus, modalities: tuple[ModalityName, ...]
) -> RunConfig | str:
    """The changed base, or why it does not fit."""
    try:
        run = with_overrides(base, {**changes, **_UNMEASURED})
        Drafts(run, of_modalities(encoded, modalities)).of(run)
    except ConfigError as error:
        problem = error.problems[0]
        return f"{problem.path} {problem.value} {problem.rule}"
    return run
