"""Which of the shipped spaces can be searched on a data set, as far as that shows without a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmsa.data.corpus import MODALITIES, Corpus
from mmsa.search.definition.files import SPACES, shipped
from mmsa.training.metrics import metric_names
from mmsa.yaml_text import load_yaml


def fitting_spaces(corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Names of shipped spaces that fit a corpus, each with what must be set for it.

    A space fits that asks for modalities which the corpus has, and for metrics that it is scored with.
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
        own = data.get("name") == corpus.name
        if not own and "/" in name:
            continue  # a published setting is one of its own data set
        yield name, "data.path" if own else f"data.name={corpus.name} and data.path"


def _modelled(model: dict[str, Any]) -> set[str]:
    """Modalities that a model has encoders of; all where it does not say."""
    named: set[str] = {name for name in MODALITIES if name in model}
    return named or set(MODALITIES)
