"""Which of the shipped spaces can be searched on a data set, as far as that shows without a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mmsa.config import Named
from mmsa.data.corpus import MODALITIES, Corpus
from mmsa.data.inspection import Examined
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError
from mmsa.objectives.base import TASKS
from mmsa.objectives.losses import default_loss
from mmsa.search.definition.files import SPACES, shipped
from mmsa.search.definition.starter import CHOICES_OF_SUITE
from mmsa.training.metrics import metric_names
from mmsa.training.selection import undecidable
from mmsa.yaml_text import load_yaml


def judged_splits(found: Examined, data: Named) -> Examined:
    """Examined data, refused also where a search could not learn from train or choose on valid.

    Args:
        found: the data.
        data: the settings that they were opened with; folds hold out other rows than valid.
    """
    folds = getattr(data, "folds", None)
    if found.refused is not None or folds is not None or not {"train", "valid"} <= found.corpus.splits.keys():
        return found
    problems = undecidable(found.corpus, ())
    told = "\n".join(map(str, problems))
    return replace(found, refused=DataError(f"{found.path}:\n{told}")) if problems else found


def fitting_spaces(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Names of shipped spaces that fit a corpus, each with what must be set for it.

    A space fits that asks for modalities which the corpus has and for metrics that it is scored with, that
    chooses by the one which suits its target, and whose task loss is one of that kind of target. Without a
    valid split it must deal folds.
    """
    measured = {f"valid/{name}" for name in metric_names(corpus.target.suite)}
    held = set(next(iter(corpus.splits.values())).modalities())
    for name in shipped():
        values = load_yaml(SPACES / name)
        base, search = values.get("base", {}), values.get("search", {})
        data = base.get("data", {})
        wanted = set(data.get("modalities") or _modelled(base.get("model", {})))
        metrics = {objective["metric"] for objective in search.get("objectives", ())}
        metrics = {metric for metric in metrics if str(metric).startswith("valid/")}
        if not wanted <= held or not metrics <= measured or data.get("name") == "planted":
            continue
        if "valid" not in corpus.outlines and "folds" not in data:
            continue  # there is nothing to choose by
        own = data.get("name") == corpus.name
        if not own and ("/" in name or not _is_of_task(base, metrics, corpus.target)):
            continue  # a published setting is one of its own data set
        yield name, "data.path" if own else f"data.name={corpus.name} and data.path"


def _is_of_task(base: dict[str, Any], metrics: set[str], target: TargetSpec) -> bool:
    """Whether a space of other data is for such a target: its loss, and the metric that chooses."""
    loss = base.get("objective", {}).get("task", {}).get("name") or default_loss(target.kind)
    return target.kind in TASKS[loss].kinds and CHOICES_OF_SUITE[target.suite][1] in metrics


def _modelled(model: dict[str, Any]) -> set[str]:
    """Modalities that a model has encoders of; all where it does not say."""
    named: set[str] = {name for name in MODALITIES if name in model}
    return named or set(MODALITIES)
